/*
 * What keeps a tag, and until when: extended attributes of .snapshots/TAG, and the task that
 * deletes tags whose time has come.
 *
 *   user.sstfs.hold        set: one more hold, of the name in the value; get: the names, a line
 *                          each; removed: all holds go
 *   user.sstfs.hold.NAME   removed: that one goes
 *   user.sstfs.expires     seconds since 1970; removed: it stays
 *
 * listxattr(2) names none of them: a copy of a tag is to be a copy of its files, and no more.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/core.h"
#include "core/snapshot_node.h"
#include "engine/log.h"

#define HOLD_NAME "user.sstfs.hold"
#define HOLD_PREFIX HOLD_NAME "."
#define EXPIRES_NAME "user.sstfs.expires"
#define SECONDS_DIGITS_MAX 12
#define LOOK_EVERY_US UINT64_C(60000000) /* at least: the wall clock may be set */

/* ---- extended attributes ---- */

/* The tag that the directory is; its content has none of these. */
static int tag_of_node(struct fs *fs, uint64_t nodeid, char to[SNAPSHOT_TAG_MAX + 1])
{
    const struct snapshot_node *node;
    int r = -ENODATA;

    pthread_mutex_lock(&fs->snapshots->mutex);
    node = snapshot_node_find(fs->snapshots, nodeid);
    if (node && node->kind == SNAPSHOT_TAG && !node->tag->gone) {
        memcpy(to, node->tag->name, sizeof(node->tag->name));
        r = 0;
    }
    pthread_mutex_unlock(&fs->snapshots->mutex);
    return r;
}

struct value_search {
    const char *tag;
    bool wants_holds;
    struct buf *to;
};

static int search_value(void *arg, const struct snapshot_info *info)
{
    struct value_search *search = arg;
    char seconds[24];

    if (strcmp(info->tag, search->tag) != 0)
        return 0;
    if (search->wants_holds) {
        buf_append(search->to, info->holds, strlen(info->holds));
    } else if (info->expires_us > 0) {
        (void)snprintf(seconds, sizeof(seconds), "%" PRIu64, info->expires_us / 1000000);
        buf_append(search->to, seconds, strlen(seconds));
    }
    return 0;
}

int snapshot_dir_getxattr(struct fs *fs, uint64_t nodeid, const char *name, struct buf *ret_value)
{
    char tag[SNAPSHOT_TAG_MAX + 1];
    struct value_search search = {tag, strcmp(name, HOLD_NAME) == 0, ret_value};
    size_t before = ret_value->size;
    int r;

    if (!search.wants_holds && strcmp(name, EXPIRES_NAME) != 0)
        return -ENODATA;
    r = tag_of_node(fs, nodeid, tag);
    if (r == 0)
        r = engine_snapshot_list(fs->engine, search_value, &search);
    if (r == 0)
        r = buf_error(ret_value);
    return r == 0 && ret_value->size == before ? -ENODATA : r;
}

static int parse_seconds(struct bytes value, uint64_t *ret_us)
{
    uint64_t seconds = 0;

    if (value.size == 0 || value.size > SECONDS_DIGITS_MAX)
        return err_new(-EINVAL, "%s: want seconds since 1970", EXPIRES_NAME);
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return err_new(-EINVAL, "%s: want seconds since 1970", EXPIRES_NAME);
        seconds = seconds * 10 + (uint64_t)(value.data[i] - '0');
    }
    *ret_us = seconds * 1000000;
    return 0;
}

static int change_tag(struct fs *fs, uint64_t nodeid, char to[SNAPSHOT_TAG_MAX + 1])
{
    if (fs->options.read_only)
        return err_new(-EROFS, "the file system is mounted read-only");
    return tag_of_node(fs, nodeid, to) < 0 ? err_new(-EROFS, "snapshots are not written") : 0;
}

int snapshot_dir_setxattr(struct fs *fs, uint64_t nodeid, const char *name, struct bytes value)
{
    char tag[SNAPSHOT_TAG_MAX + 1], hold[SNAPSHOT_HOLD_MAX + 1];
    uint64_t expires_us = 0;
    int r = change_tag(fs, nodeid, tag);

    if (r < 0)
        return r;
    if (strcmp(name, EXPIRES_NAME) == 0) {
        r = parse_seconds(value, &expires_us);
        return r < 0 ? r : fs_snapshot_set_expiry(fs, tag, expires_us);
    }
    if (strcmp(name, HOLD_NAME) != 0)
        return err_new(-EROFS, "snapshots are not written");
    if (value.size > SNAPSHOT_HOLD_MAX || memchr(value.data, 0, value.size))
        return err_new(-EINVAL, "the name of a hold has at most %d bytes", SNAPSHOT_HOLD_MAX);
    memcpy(hold, value.data, value.size);
    hold[value.size] = 0;
    return engine_snapshot_hold(fs->engine, tag, hold);
}

int snapshot_dir_removexattr(struct fs *fs, uint64_t nodeid, const char *name)
{
    char tag[SNAPSHOT_TAG_MAX + 1];
    int r = change_tag(fs, nodeid, tag);

    if (r < 0)
        return r;
    if (strcmp(name, EXPIRES_NAME) == 0)
        return fs_snapshot_set_expiry(fs, tag, 0);
    if (strcmp(name, HOLD_NAME) == 0)
        return engine_snapshot_release(fs->engine, tag, NULL);
    if (strncmp(name, HOLD_PREFIX, sizeof(HOLD_PREFIX) - 1) == 0)
        return engine_snapshot_release(fs->engine, tag, name + sizeof(HOLD_PREFIX) - 1);
    return err_new(-EROFS, "snapshots are not written");
}

/* ---- expiry ---- */

struct expiry_search {
    uint64_t now_us;
    uint64_t next_us; /* the next that expires later */
    struct buf due;   /* tags, each with its NUL */
};

static int search_due(void *arg, const struct snapshot_info *info)
{
    struct expiry_search *search = arg;

    if (info->expires_us == 0)
        return 0;
    if (info->expires_us > search->now_us) {
        if (info->expires_us < search->next_us)
            search->next_us = info->expires_us;
        return 0;
    }
    if (!*info->holds)
        buf_append(&search->due, info->tag, strlen(info->tag) + 1);
    return buf_error(&search->due);
}

static void delete_due(struct fs *fs, const char *tag)
{
    int r;

    pthread_mutex_lock(&fs->snapshots->mutex);
    r = snapshot_delete_locked(fs, tag);
    pthread_mutex_unlock(&fs->snapshots->mutex);
    if (r == 0)
        log_info("op=expire snapshot='%s': deleted", tag);
    else if (r != -EBUSY && r != -ENOENT)
        log_error("op=expire snapshot='%s': %s", tag, err_text(r));
}

static int64_t expiry_step(void *arg)
{
    struct fs *fs = arg;
    struct expiry_search search = {.now_us = env_wall_us(fs->env), .next_us = UINT64_MAX};
    uint64_t wait_us = LOOK_EVERY_US;
    int r = engine_snapshot_list(fs->engine, search_due, &search);

    if (r < 0)
        log_error("op=expire: %s", err_text(r));
    for (size_t at = 0; r == 0 && at < search.due.size;
         at += strlen((char *)search.due.data + at) + 1)
        delete_due(fs, (char *)search.due.data + at);
    buf_release(&search.due);
    if (search.next_us - search.now_us < wait_us)
        wait_us = search.next_us - search.now_us;
    return (int64_t)wait_us;
}

int fs_snapshot_set_expiry(struct fs *fs, const char *tag, uint64_t expires_us)
{
    int r = engine_snapshot_set_expiry(fs->engine, tag, expires_us);

    if (r == 0 && fs->snapshots->expiry)
        task_kick(fs->env, fs->snapshots->expiry);
    return r;
}

int snapshot_expiry_start(struct fs *fs)
{
    int r = task_start(fs->env, "expire", expiry_step, fs, &fs->snapshots->expiry);

    if (r == 0)
        task_kick(fs->env, fs->snapshots->expiry);
    return r;
}

void snapshot_expiry_stop(struct fs *fs)
{
    if (fs->snapshots->expiry)
        task_stop(fs->env, fs->snapshots->expiry);
    fs->snapshots->expiry = NULL;
}
