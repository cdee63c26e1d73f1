#include "fuse/session.h"
#include "fuse/shim.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/assert.h"
#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"

#define REQUESTS_IN_BACKGROUND_MAX 64
#define REQUESTS_CONGESTED 48
/* Idle workers that stay. The kernel wakes the one that has waited longest, wherever it ran: of
 * many, each request meets another one, on another processor, with cold caches. */
#define IDLE_THREADS 4

/* libfuse prints the reason of a failure and returns -1: its last words are kept for ours. */
static char libfuse_words[512];

static void on_libfuse_message(enum fuse_log_level level, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void on_libfuse_message(enum fuse_log_level level, const char *format, va_list arguments)
{
    char text[sizeof(libfuse_words)];
    size_t size;

    vsnprintf(text, sizeof(text), format, arguments);
    size = strlen(text);
    while (size > 0 && text[size - 1] == '\n')
        text[--size] = '\0';
    if (level <= FUSE_LOG_ERR)
        memcpy(libfuse_words, text, sizeof(text));
    else if (level <= FUSE_LOG_WARNING)
        log_warning("%s", text);
}

static void want(struct fuse_conn_info *connection, unsigned capability, bool is_wanted)
{
    if (is_wanted && (connection->capable & capability))
        connection->want |= capability;
    else
        connection->want &= ~capability;
}

void session_init(void *userdata, struct fuse_conn_info *connection)
{
    struct session *session = userdata;

    /* One daemon owns the store, so what the kernel has cached is right until it changes it
     * itself: neither a changed mtime nor an open may drop it. */
    want(connection, FUSE_CAP_AUTO_INVAL_DATA, false);
    want(connection, FUSE_CAP_EXPLICIT_INVAL_DATA, true);
    want(connection, FUSE_CAP_CACHE_SYMLINKS, true);
    want(connection, FUSE_CAP_PARALLEL_DIROPS, true);
    want(connection, FUSE_CAP_READDIRPLUS, true);
    want(connection, FUSE_CAP_READDIRPLUS_AUTO, true);
    want(connection, FUSE_CAP_ATOMIC_O_TRUNC, true);
    want(connection, FUSE_CAP_ASYNC_READ, true);
    want(connection, FUSE_CAP_ASYNC_DIO, true);

    /* A reply to write(2) means "in the commit log": the writeback cache would reply before that.
     */
    want(connection, FUSE_CAP_WRITEBACK_CACHE, false);
    /* Version 1 asks duties of us and saves nothing (version 2: shim.c). */
    want(connection, FUSE_CAP_HANDLE_KILLPRIV, false);
    /* A default ACL is instead of the umask: so with ACLs the umask is ours to apply. */
    session->has_acls = (connection->capable & FUSE_CAP_POSIX_ACL) != 0 &&
                        (connection->capable & FUSE_CAP_DONT_MASK) != 0;
    want(connection, FUSE_CAP_POSIX_ACL, session->has_acls);
    want(connection, FUSE_CAP_DONT_MASK, session->has_acls);
    /* Payloads go to the log from memory: splicing them would only add a copy. */
    want(connection, FUSE_CAP_SPLICE_READ, false);
    want(connection, FUSE_CAP_SPLICE_WRITE, false);
    want(connection, FUSE_CAP_SPLICE_MOVE, false);
    /* NFS needs directory positions that outlive the open directory. */
    want(connection, FUSE_CAP_EXPORT_SUPPORT, false);

    connection->max_write = FS_WRITE_BYTES_MAX;
    connection->max_background = REQUESTS_IN_BACKGROUND_MAX;
    connection->congestion_threshold = REQUESTS_CONGESTED;
    connection->time_gran = 1;
    log_debug("kernel offers 0x%x, wanted 0x%x", connection->capable, connection->want);

    if (session->options.ready)
        session->options.ready(session->options.arg);
}

/* An argument of libfuse's parser: commas and backslashes within a value are escaped. */
static void append_escaped(struct buf *to, const char *text)
{
    for (; *text; text++) {
        if (*text == ',' || *text == '\\')
            buf_append_u8(to, '\\');
        buf_append_u8(to, (uint8_t)*text);
    }
}

static void append_text(struct buf *to, const char *text)
{
    buf_append(to, text, strlen(text));
}

static int new_fuse_session(struct session *session)
{
    const struct session_options *options = &session->options;
    struct buf flags = BUF_INIT;
    char program[] = "sstfs", dash_o[] = "-o";
    char *arguments[] = {program, dash_o, NULL, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, arguments);

    append_text(&flags, "default_permissions,subtype=sstfs,fsname=");
    append_escaped(&flags, options->source);
    if (options->allow_other)
        append_text(&flags, ",allow_other");
    if (*options->mount_flags) {
        append_text(&flags, ",");
        append_text(&flags, options->mount_flags);
    }
    buf_append_u8(&flags, '\0');
    if (buf_error(&flags) < 0) {
        buf_release(&flags);
        return -ENOMEM;
    }
    arguments[2] = (char *)flags.data;
    session->fuse =
        fuse_session_new(&args, &session_operations, sizeof(session_operations), session);
    fuse_opt_free_args(&args);
    buf_release(&flags);
    return session->fuse ? 0 : err_new(-EINVAL, "%s", libfuse_words);
}

int session_open(const struct session_options *options, struct fs *fs, struct session **ret_session)
{
    struct session *session = calloc(1, sizeof(*session));
    int r;

    if (!session)
        return -ENOMEM;
    session->options = *options;
    session->fs = fs;
    session->main_thread = pthread_self();
    pthread_mutex_init(&session->mutex, NULL);
    pthread_cond_init(&session->is_quiet, NULL);
    mounted_init(&session->mounted);
    fuse_set_log_func(on_libfuse_message);

    r = new_fuse_session(session);
    if (r >= 0) {
        errno = 0;
        if (fuse_session_mount(session->fuse, options->mountpoint) != 0) {
            r = errno > 0 ? -errno : -EIO;
            r = err_new(r, "mount on '%s': %s", options->mountpoint,
                *libfuse_words ? libfuse_words : strerror(-r));
            fuse_session_destroy(session->fuse);
            session->fuse = NULL;
        }
    }
    if (r >= 0)
        r = shim_install(session);
    if (r >= 0)
        r = signals_start(session);
    if (r < 0) {
        session_close(session);
        return r;
    }
    *ret_session = session;
    return 0;
}

static void ask_to_forget(void *arg, uint64_t parent, struct bytes name)
{
    struct session *session = arg;

    if (mounted_may_be(&session->mounted, name))
        return;
    /* What fails is asked for again, if there still are too many. */
    (void)fuse_lowlevel_notify_inval_entry(
        session->fuse, parent, (const char *)name.data, name.size);
}

int session_serve(struct session *session)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int r;

    if (!config)
        return -ENOMEM;
    r = fs_bound_nodes(session->fs, session->options.node_bytes_max, ask_to_forget, session);
    if (r < 0) {
        fuse_loop_cfg_destroy(config);
        return r;
    }
    fuse_loop_cfg_set_max_threads(config, session->options.threads_max);
    fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS);
    r = fuse_session_loop_mt(session->fuse, config);
    fuse_loop_cfg_destroy(config);
    session->is_over = true;

    /* Parked requests still hold the session: the engine's threads will answer them. */
    pthread_mutex_lock(&session->mutex);
    while (session->requests > 0)
        pthread_cond_wait(&session->is_quiet, &session->mutex);
    pthread_mutex_unlock(&session->mutex);
    fs_unbound_nodes(session->fs);
    /* A positive result is the signal that ended the loop, which is no failure. */
    return r < 0 ? err_new(r, "talk to the kernel: %s", strerror(-r)) : 0;
}

void session_get_latency(const struct session *session, enum session_operation operation,
    struct latency_values *ret_values)
{
    latency_get(&session->latencies[operation], ret_values);
}

void session_close(struct session *session)
{
    if (!session)
        return;
    signals_stop(session);
    if (session->fuse) {
        fuse_session_unmount(session->fuse);
        fuse_session_destroy(session->fuse);
    }
    mounted_release(&session->mounted);
    pthread_cond_destroy(&session->is_quiet);
    pthread_mutex_destroy(&session->mutex);
    free(session);
}
