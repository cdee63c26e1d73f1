#include "golden_tables.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/error.h"

#define FILE_BYTES_MAX (64u << 20)

const char *const golden_names[GOLDEN_COUNT] = {"entries", "blocks", "inodes", "wide", "wide4",
    "many", "plain", "ttl", "types", "rawchunks", "manycols", "twomaps", "staticonly"};

struct buf file_content(struct env *env, const char *path)
{
    struct buf content = BUF_INIT;
    int r = io_read_file(env, path, FILE_BYTES_MAX, &content);

    if (r < 0)
        fail_msg("%s", err_text(r));
    return content;
}

void file_replace(struct env *env, const char *path, struct bytes content)
{
    assert_int_equal(io_write_file(env, path, content, true), 0);
}

struct buf component_content(struct env *env, const char *folder, const struct sstable_id *id,
    enum sstable_component component)
{
    char name[SSTABLE_FILE_NAME_MAX + 1], path[256];

    sstable_file_name(id, component, name);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return file_content(env, path);
}

static struct env *source_env(void)
{
    struct env *env;

    assert_int_equal(env_posix_new(GOLDEN, &env), 0);
    return env;
}

struct buf golden_source(const char *path)
{
    struct env *env = source_env();
    struct buf content = file_content(env, path);

    env_free(env);
    return content;
}

static int take_first(void *arg, const char *name)
{
    snprintf(arg, 64, "%s", name);
    return 1;
}

void golden_open(struct golden *golden, const char *name)
{
    struct env *source = source_env();
    char outer[64], table[64];

    *golden = (struct golden){.name = name, .id = {"1"}};
    assert_int_equal(env_mem_new(1, &golden->env), 0);
    snprintf(outer, sizeof(outer), "sstables/%s/sstfs", name);
    assert_int_equal(io_list(source, outer, take_first, table), 1);
    snprintf(golden->folder, sizeof(golden->folder), "sstfs/%s", table);
    assert_int_equal(io_mkdir(golden->env, "sstfs"), 0);
    assert_int_equal(io_mkdir(golden->env, golden->folder), 0);
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        char file[SSTABLE_FILE_NAME_MAX + 1], from[256], to[256];
        struct io_stat stat;
        struct buf content;
        int r;

        sstable_file_name(&golden->id, (enum sstable_component)i, file);
        snprintf(from, sizeof(from), "%s/%s/%s", outer, table, file);
        snprintf(to, sizeof(to), "%s/%s", golden->folder, file);
        r = io_stat(source, from, &stat);
        if (r == -ENOENT)
            continue;
        assert_int_equal(r, 0);
        content = file_content(source, from);
        file_replace(golden->env, to, buf_bytes(&content));
        buf_release(&content);
        golden->has[i] = true;
    }
    env_free(source);
}

void golden_close(struct golden *golden)
{
    env_free(golden->env);
}
