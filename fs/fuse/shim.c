#include "fuse/shim.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "fuse/linger.h"
#include "fuse/statx.h"

#define WANTED_FLAGS (FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2)

/* One session in a process. INIT is read and answered by one thread, before any other request
 * comes; the last of these tells the other threads that there is nothing to look for. */
static uint64_t init_unique;
static uint32_t init_offered;
static _Atomic bool init_is_answered;

static _Thread_local bool kills_suid;

bool shim_kills_suid(void)
{
    return kills_suid;
}

/* The argument after the header, if the request is long enough to have one. */
static bool argument(const void *request, size_t size, void *to, size_t to_size)
{
    if (size < sizeof(struct fuse_in_header) + to_size)
        return false;
    memcpy(to, (const char *)request + sizeof(struct fuse_in_header), to_size);
    return true;
}

/* Request and answer are those of CREATE, but for a name that means nothing; op_create() knows it
 * by its flags, which have O_TMPFILE. */
static void call_create(void *request)
{
    struct fuse_in_header header;

    memcpy(&header, request, sizeof(header));
    header.opcode = FUSE_CREATE;
    memcpy(request, &header, sizeof(header));
}

static void look_at_request(void *request, size_t size)
{
    struct fuse_in_header header;
    struct fuse_init_in init;
    struct fuse_write_in write;
    struct fuse_open_in open;

    kills_suid = false;
    if (size < sizeof(header))
        return;
    memcpy(&header, request, sizeof(header));
    switch (header.opcode) {
    case FUSE_INIT:
        /* Older kernels send less; flags is the fourth word of any. */
        if (size >= sizeof(header) + offsetof(struct fuse_init_in, flags) + sizeof(init.flags)) {
            memcpy(&init, (const char *)request + sizeof(header),
                offsetof(struct fuse_init_in, flags) + sizeof(init.flags));
            init_unique = header.unique;
            init_offered = init.flags;
        }
        break;
    case FUSE_WRITE:
        if (argument(request, size, &write, sizeof(write)))
            kills_suid = write.write_flags & FUSE_WRITE_KILL_SUIDGID;
        break;
    case FUSE_OPEN:
        if (argument(request, size, &open, sizeof(open)))
            kills_suid = open.open_flags & FUSE_OPEN_KILL_SUIDGID;
        break;
    case FUSE_TMPFILE:
        call_create(request);
        break;
    default:
        break;
    }
}

static void amend_init(const struct iovec *vector, int count)
{
    struct fuse_out_header header;
    struct fuse_init_out *init;

    if (init_unique == 0 || count != 2 || vector[0].iov_len != sizeof(header))
        return;
    memcpy(&header, vector[0].iov_base, sizeof(header));
    if (header.unique != init_unique || header.error != 0)
        return;
    if (vector[1].iov_len < offsetof(struct fuse_init_out, flags) + sizeof(init->flags))
        return;
    init = vector[1].iov_base;
    init->flags |= init_offered & WANTED_FLAGS;
    log_info("kernel interface %u.%u, flags 0x%x%s%s", init->major, init->minor, init->flags,
        init->flags & FUSE_PARALLEL_DIROPS ? ", parallel lookups" : "",
        init->flags & FUSE_HANDLE_KILLPRIV_V2 ? ", privileges killed here" : "");
    init_is_answered = true;
}

/* ---- payloads ---- */

/* Of each thread that reads requests. Worker threads are cancelled when the session ends: what they
 * have goes with them. */
static pthread_key_t scatter_key;
static pthread_once_t scatter_once = PTHREAD_ONCE_INIT;

static void free_scatter(void *scatter)
{
    scatter_release(scatter);
    free(scatter);
}

static void make_scatter_key(void)
{
    int r = pthread_key_create(&scatter_key, free_scatter);

    ASSERT(r == 0);
}

/* NULL: no memory. */
static struct scatter *thread_scatter(struct session *session)
{
    struct scatter *scatter = pthread_getspecific(scatter_key);

    if (scatter)
        return scatter;
    scatter = calloc(1, sizeof(*scatter));
    if (!scatter)
        return NULL;
    scatter->fs = session->fs;
    if (pthread_setspecific(scatter_key, scatter) != 0) {
        free(scatter);
        return NULL;
    }
    return scatter;
}

unsigned shim_take_payload(struct fs_piece ret_pieces[SCATTER_PIECES_MAX])
{
    struct scatter *scatter = pthread_getspecific(scatter_key);

    return scatter ? scatter_take(scatter, ret_pieces) : 0;
}

/* ---- hooks ---- */

static ssize_t read_hook(int fd, void *to, size_t size, void *userdata)
{
    struct scatter *scatter = thread_scatter(userdata);
    ssize_t n;

    (void)linger(fd); /* either way, the read waits for what comes */
    do
        n = scatter ? scatter_read(scatter, fd, to, size) : read(fd, to, size);
    while (n > 0 && statx_answer(userdata, fd, to, (size_t)n));
    if (n > 0)
        look_at_request(to, (size_t)n);
    return n;
}

static ssize_t writev_hook(int fd, struct iovec *vector, int count, void *userdata)
{
    (void)userdata;
    if (!init_is_answered)
        amend_init(vector, count);
    return writev(fd, vector, count);
}

int shim_install(struct session *session)
{
    static const struct fuse_custom_io io = {.read = read_hook, .writev = writev_hook};
    int r;

    pthread_once(&scatter_once, make_scatter_key);
    r = fuse_session_custom_io(session->fuse, &io, fuse_session_fd(session->fuse));
    return r < 0 ? err_new(r, "hook the FUSE device: %s", strerror(-r)) : 0;
}
