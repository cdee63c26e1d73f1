#include "support/copy_tree.h"

#include <stdio.h>

#include "engine/buf.h"

#define FILE_BYTES_MAX (256u << 20)

struct copy {
    struct env *from, *to;
    const char *from_path, *to_path;
};

static int copy_entry(void *arg, const char *name)
{
    const struct copy *copy = arg;
    AUTO(buf_release) struct buf content = BUF_INIT;
    char from[512], to[512];
    struct io_stat stat;
    int r;

    snprintf(from, sizeof(from), "%s%s%s", copy->from_path, *copy->from_path ? "/" : "", name);
    snprintf(to, sizeof(to), "%s%s%s", copy->to_path, *copy->to_path ? "/" : "", name);
    r = io_stat(copy->from, from, &stat);
    if (r < 0)
        return r;
    if (stat.is_directory) {
        r = io_ensure_directory(copy->to, to);
        return r < 0 ? r : copy_tree(copy->from, from, copy->to, to);
    }
    r = io_read_file(copy->from, from, FILE_BYTES_MAX, &content);
    return r < 0 ? r : io_write_file(copy->to, to, buf_bytes(&content), true);
}

int copy_tree(struct env *from, const char *from_path, struct env *to, const char *to_path)
{
    struct copy copy = {from, to, from_path, to_path};

    return io_list(from, from_path, copy_entry, &copy);
}
