#include "fuse/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/log.h"

#define LIST "/proc/self/mountinfo"

void mounted_init(struct mounted *mounted)
{
    *mounted = (struct mounted){.names = BUF_INIT};
    pthread_mutex_init(&mounted->mutex, NULL);
    mounted->fd = open(LIST, O_RDONLY | O_CLOEXEC);
    if (mounted->fd < 0)
        log_warning(
            "op=forget: open " LIST ": %s; a mount on a file may be taken away", strerror(errno));
}

void mounted_release(struct mounted *mounted)
{
    if (mounted->fd >= 0)
        close(mounted->fd);
    buf_release(&mounted->names);
    pthread_mutex_destroy(&mounted->mutex);
}

static bool is_octal(const char *at)
{
    return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' &&
           at[2] <= '7';
}

/* The last component of the path; blanks and the like are \ooo. */
static void add_name(struct buf *names, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *at = slash ? slash + 1 : path;

    while (*at) {
        if (*at == '\\' && is_octal(at + 1)) {
            buf_append_u8(
                names, (uint8_t)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0')));
            at += 4;
        } else {
            buf_append_u8(names, (uint8_t)*at++);
        }
    }
    buf_append_u8(names, '\0');
}

/* A line of proc_pid_mountinfo(5): the mountpoint is the fifth field. */
static void add_line(struct buf *names, char *line)
{
    char *rest = line;
    char *field = NULL;

    for (unsigned i = 0; i < 5 && rest; i++)
        field = strsep(&rest, " ");
    if (rest)
        add_name(names, field);
}

static int read_names(struct buf *names)
{
    FILE *file = fopen(LIST, "re");
    char *line = NULL;
    size_t size = 0;
    int r;

    if (!file)
        return -errno;
    buf_clear(names);
    errno = 0;
    while (getline(&line, &size, file) >= 0)
        add_line(names, line);
    r = ferror(file) || errno == ENOMEM ? -errno : buf_error(names);
    free(line);
    fclose(file);
    return r;
}

static bool has_changed(int fd)
{
    struct pollfd list = {.fd = fd, .events = POLLPRI};

    return poll(&list, 1, 0) != 0;
}

static bool has_name(const struct buf *names, struct bytes name)
{
    const char *end = (const char *)names->data + names->size;

    for (const char *at = (const char *)names->data; at < end; at += strlen(at) + 1)
        if (bytes_equal(bytes_of_string(at), name))
            return true;
    return false;
}

bool mounted_may_be(struct mounted *mounted, struct bytes name)
{
    bool may_be;
    int r = 0;

    if (mounted->fd < 0)
        return false;
    pthread_mutex_lock(&mounted->mutex);
    /* Asked before it is read: what is mounted meanwhile is told the next time. */
    if (has_changed(mounted->fd))
        mounted->is_read = false;
    if (!mounted->is_read) {
        r = read_names(&mounted->names);
        mounted->is_read = r == 0;
    }
    may_be = r < 0 || has_name(&mounted->names, name);
    pthread_mutex_unlock(&mounted->mutex);
    return may_be;
}
