#include "core/changes.h"

#include "engine/assert.h"

struct inode *changes_of(struct changes *changes, struct node *node)
{
    unsigned i = 0;

    while (i < changes->count && changes->nodes[i] != node)
        i++;
    if (i == changes->count) {
        ASSERT(changes->count < ARRAY_COUNT(changes->nodes));
        changes->nodes[i] = node;
        changes->to[i] = node->inode;
        changes->count++;
    }
    return &changes->to[i];
}

int changes_apply(struct fs *fs, struct fs_request *request, struct changes *changes)
{
    int r;

    for (unsigned i = 0; i < changes->count; i++)
        home_write(request->batch, changes->nodes[i], &changes->to[i]);
    r = core_apply(fs, request, changes->nodes, changes->count);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < changes->count; i++)
        changes->nodes[i]->inode = changes->to[i];
    return 0;
}
