#include "core/snapshot_node.h"

#include <errno.h>

#include "core/tables.h"
#include "engine/assert.h"
#include "engine/error.h"

uint64_t snapshot_hash(uint64_t seed, struct bytes bytes)
{
    uint64_t hash = seed ^ UINT64_C(0xcbf29ce484222325);

    /* FNV-1a, then the finalizer of MurmurHash3, as FNV's high bits mix slowly. */
    for (size_t i = 0; i < bytes.size; i++)
        hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
    hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash ^ hash >> 33;
}

static struct bytes node_name_of(const struct snapshot_node *node)
{
    return node->kind == SNAPSHOT_TAG ? bytes_of_string(node->tag->name) : node->name;
}

static struct snapshot_node **chain_by_number(struct snapshot_dir *dir, uint64_t number)
{
    return &dir->by_number[number % SNAPSHOT_CHAINS];
}

static struct snapshot_node **chain_by_name(
    struct snapshot_dir *dir, const struct snapshot_node *parent, struct bytes name)
{
    return &dir->by_name[snapshot_hash(parent ? parent->number : 0, name) % SNAPSHOT_CHAINS];
}

/* ---- tags ---- */

struct snapshot_tag *snapshot_tag_find(struct snapshot_dir *dir, const char *name)
{
    struct snapshot_tag *tag = dir->tags;

    while (tag && (tag->gone || strcmp(tag->name, name) != 0))
        tag = tag->next;
    return tag;
}

int snapshot_tag_ensure(struct snapshot_dir *dir, const char *name, uint64_t point_us,
    uint64_t created_us, struct snapshot_tag **ret_tag)
{
    struct snapshot_tag *tag = snapshot_tag_find(dir, name);
    size_t size = strlen(name);

    ASSERT(size <= SNAPSHOT_TAG_MAX);
    /* Deleted and made anew by a command, past us. */
    if (tag && (tag->point_us != point_us || tag->created_us != created_us)) {
        tag->gone = true;
        tag = NULL;
    }
    if (!tag) {
        tag = calloc(1, sizeof(*tag));
        if (!tag)
            return -ENOMEM;
        memcpy(tag->name, name, size + 1);
        tag->point_us = point_us;
        tag->created_us = created_us;
        tag->next = dir->tags;
        dir->tags = tag;
    }
    *ret_tag = tag;
    return 0;
}

void snapshot_tag_settle(struct snapshot_dir *dir, struct snapshot_tag *tag)
{
    if (!tag || tag->refs)
        return;
    for (struct snapshot_tag **at = &dir->tags; *at; at = &(*at)->next) {
        if (*at == tag) {
            *at = tag->next;
            break;
        }
    }
    free(tag);
}

bool snapshot_tag_is_log(const struct snapshot_tag *tag)
{
    return strcmp(tag->name, LOG_NAME) == 0;
}

size_t snapshot_tag_path_size(const struct snapshot_tag *tag)
{
    return snapshot_tag_is_log(tag) ? sizeof(LOG_FOLDER) - 1
                                    : sizeof(SNAPSHOTS_FOLDER "/") - 1 + strlen(tag->name);
}

void snapshot_tag_path(const struct snapshot_tag *tag, struct buf *to)
{
    if (snapshot_tag_is_log(tag)) {
        buf_append_bytes(to, BYTES_LITERAL(LOG_FOLDER));
        return;
    }
    buf_append_bytes(to, BYTES_LITERAL(SNAPSHOTS_FOLDER "/"));
    buf_append_bytes(to, bytes_of_string(tag->name));
}

/* ---- nodes ---- */

struct snapshot_node *snapshot_node_find(struct snapshot_dir *dir, uint64_t number)
{
    struct snapshot_node *node = *chain_by_number(dir, number);

    while (node && node->number != number)
        node = node->next_by_number;
    return node;
}

static void chain_in_by_name(struct snapshot_dir *dir, struct snapshot_node *node)
{
    struct snapshot_node **chain = chain_by_name(dir, node->parent, node_name_of(node));

    node->next_by_name = *chain;
    *chain = node;
}

static void chain_out_by_name(struct snapshot_dir *dir, struct snapshot_node *node)
{
    struct snapshot_node **at = chain_by_name(dir, node->parent, node_name_of(node));

    while (*at != node)
        at = &(*at)->next_by_name;
    *at = node->next_by_name;
}

int snapshot_node_ensure(struct snapshot_dir *dir, struct snapshot_node *parent,
    enum snapshot_kind kind, struct bytes name, struct snapshot_tag *tag,
    struct snapshot_node **ret_node)
{
    struct snapshot_node *node = *chain_by_name(dir, parent, name);
    struct snapshot_node **chain;

    while (node &&
           (node->parent != parent || node->tag != tag || !bytes_equal(node_name_of(node), name)))
        node = node->next_by_name;
    if (!node) {
        node = calloc(1, sizeof(*node) + name.size);
        if (!node)
            return -ENOMEM;
        if (name.size)
            memcpy(node->data, name.data, name.size);
        node->name = bytes_of(node->data, name.size);
        node->kind = kind;
        node->number = INO_SYNTHETIC_BIT | dir->next_number++;
        node->parent = parent;
        node->tag = tag;
        node->depth = parent ? parent->depth + 1 : 0;
        if (parent)
            parent->refs++;
        if (tag)
            tag->refs++;
        chain = chain_by_number(dir, node->number);
        node->next_by_number = *chain;
        *chain = node;
        chain_in_by_name(dir, node);
    }
    *ret_node = node;
    return 0;
}

void snapshot_node_settle(struct snapshot_dir *dir, struct snapshot_node *node)
{
    while (node && node != dir->root && !node->lookups && !node->refs) {
        struct snapshot_node *parent = node->parent;
        struct snapshot_tag *tag = node->tag;
        struct snapshot_node **at = chain_by_number(dir, node->number);

        chain_out_by_name(dir, node);
        while (*at != node)
            at = &(*at)->next_by_number;
        *at = node->next_by_number;
        free(node);
        if (tag) {
            tag->refs--;
            snapshot_tag_settle(dir, tag);
        }
        if (parent)
            parent->refs--;
        node = parent;
    }
}

void snapshot_tag_rename(struct snapshot_dir *dir, struct snapshot_tag *tag, const char *name)
{
    struct snapshot_node *node = *chain_by_name(dir, dir->root, bytes_of_string(tag->name));
    size_t size = strlen(name);

    ASSERT(size <= SNAPSHOT_TAG_MAX);
    while (node && (node->kind != SNAPSHOT_TAG || node->tag != tag))
        node = node->next_by_name;
    if (node)
        chain_out_by_name(dir, node);
    memcpy(tag->name, name, size + 1);
    if (node)
        chain_in_by_name(dir, node);
}

void snapshot_node_path(const struct snapshot_node *node, struct buf *to)
{
    const struct snapshot_node *parents[SNAPSHOT_DEPTH_MAX];
    unsigned depth = 0;

    ASSERT(node->depth <= SNAPSHOT_DEPTH_MAX);
    for (; node->kind == SNAPSHOT_INSIDE; node = node->parent)
        parents[depth++] = node;
    snapshot_tag_path((depth ? parents[0] : node)->tag, to);
    while (depth > 0) {
        buf_append_u8(to, '/');
        buf_append_bytes(to, parents[--depth]->name);
    }
    buf_append_u8(to, 0);
}

/* ---- begin and end ---- */

int snapshot_nodes_open(struct snapshot_dir **ret_dir)
{
    struct snapshot_dir *dir = calloc(1, sizeof(*dir));
    int r;

    if (!dir)
        return -ENOMEM;
    pthread_mutex_init(&dir->mutex, NULL);
    dir->next_number = 1;
    r = snapshot_node_ensure(
        dir, NULL, SNAPSHOT_ROOT, BYTES_LITERAL(SNAPSHOTS_NAME), NULL, &dir->root);
    if (r < 0) {
        snapshot_nodes_close(dir);
        return r;
    }
    *ret_dir = dir;
    return 0;
}

void snapshot_nodes_close(struct snapshot_dir *dir)
{
    if (!dir)
        return;
    for (unsigned i = 0; i < SNAPSHOT_CHAINS; i++) {
        while (dir->by_number[i]) {
            struct snapshot_node *node = dir->by_number[i];

            dir->by_number[i] = node->next_by_number;
            free(node);
        }
    }
    while (dir->tags) {
        struct snapshot_tag *tag = dir->tags;

        dir->tags = tag->next;
        free(tag);
    }
    pthread_mutex_destroy(&dir->mutex);
    free(dir);
}
