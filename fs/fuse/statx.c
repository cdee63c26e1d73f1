#include "fuse/statx.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/log.h"
#include "fuse/request.h"

/* Of <linux/fuse.h>, interface 7.39; that of Debian 12 is of 7.38. */
#define STATX_OPCODE 52

#define NS_PER_S INT64_C(1000000000)

struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};

struct statx_answer {
    uint64_t valid_s;
    uint32_t valid_ns, flags;
    uint64_t spare[2];
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare_2;
    uint64_t ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare_3[14];
};

static struct statx_time time_of(struct timespec time)
{
    return (struct statx_time){.seconds = time.tv_sec, .nanoseconds = (uint32_t)time.tv_nsec};
}

static struct statx_answer answer_of(uint64_t nodeid, const struct stat *s)
{
    return (struct statx_answer){
        .valid_s = (uint64_t)attribute_timeout(nodeid),
        .mask = STATX_BASIC_STATS,
        .blksize = (uint32_t)s->st_blksize,
        .nlink = (uint32_t)s->st_nlink,
        .uid = s->st_uid,
        .gid = s->st_gid,
        .mode = (uint16_t)s->st_mode,
        .ino = s->st_ino,
        .size = (uint64_t)s->st_size,
        .blocks = (uint64_t)s->st_blocks,
        .atime = time_of(s->st_atim),
        .ctime = time_of(s->st_ctim),
        .mtime = time_of(s->st_mtim),
        .rdev_major = major(s->st_rdev),
        .rdev_minor = minor(s->st_rdev),
    };
}

static int answer(struct session *session, uint64_t nodeid, struct statx_answer *ret_answer)
{
    int64_t birth_ns;
    struct stat attributes;
    int r = fs_statx(session->fs, nodeid, &attributes, &birth_ns);

    if (r < 0)
        return r;
    *ret_answer = answer_of(nodeid, &attributes);
    if (r > 0) {
        ret_answer->mask |= STATX_BTIME;
        ret_answer->btime.seconds = birth_ns / NS_PER_S - (birth_ns % NS_PER_S < 0);
        ret_answer->btime.nanoseconds = (uint32_t)(birth_ns - ret_answer->btime.seconds * NS_PER_S);
    }
    return 0;
}

bool statx_answer(struct session *session, int fd, const void *request, size_t size)
{
    struct fuse_out_header to = {.len = sizeof(to)};
    struct fuse_in_header header;
    struct statx_answer body;
    struct iovec vector[2] = {{&to, sizeof(to)}, {&body, sizeof(body)}};
    int r;

    if (size < sizeof(header))
        return false;
    memcpy(&header, request, sizeof(header));
    if (header.opcode != STATX_OPCODE)
        return false;
    r = answer(session, header.nodeid, &body);
    to.unique = header.unique;
    if (r < 0)
        to.error = -request_errno(r);
    else
        to.len += (uint32_t)sizeof(body);
    /* ENOENT: who asked was killed meanwhile. */
    if (writev(fd, vector, r < 0 ? 1 : 2) < 0 && errno != ENOENT)
        log_warning("op=statx: answer the kernel: %s", strerror(errno));
    return true;
}
