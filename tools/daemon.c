#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "control.h"
#include "engine/error.h"
#include "engine/log.h"
#include "fs/session.h"
#include "info.h"
#include "tools.h"

/* Each keeps what was freed in it for itself; small pieces come from threads' own caches anyway. */
#define ALLOCATOR_ARENAS_MAX 2

/* A thread that answers requests for so much of memory=. */
#define BYTES_PER_THREAD (16u << 20)
#define THREADS_MIN 4
#define THREADS_MAX 32

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

struct daemon {
    const struct daemon_plan *plan;
    struct env *env;
    struct engine *engine;
    struct fs *fs;
    struct session *session;
    struct control *control;
    struct info info;
    int status_fd;
};

/* ---- the process ---- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        log_debug("write '%s': %s", path, strerror(errno));
    close(fd);
}

static void prepare_process(void)
{
    struct rlimit files, infinite = {RLIM_INFINITY, RLIM_INFINITY};

    mallopt(M_ARENA_MAX, ALLOCATOR_ARENAS_MAX);
    /* The modes of the store's files are ours to say. */
    umask(0);
    /* A descriptor for each SSTable file; and the caller's limit of file sizes is not ours. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    setrlimit(RLIMIT_FSIZE, &infinite);
    /* Both without consequence where they are refused: the kernel may wait for our replies while
     * it looks for memory, and then must neither wait for us nor kill us. */
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    write_file("/proc/self/oom_score_adj", "-900");
}

/* ---- the log ---- */

/* Lines begin with "sstfs: LEVEL: ". */
static ssize_t write_to_syslog(void *cookie, const char *text, size_t size)
{
    static const char prefix[] = "sstfs: ";
    int priority = LOG_INFO;
    int skip = 0;

    (void)cookie;
    if (size > sizeof(prefix) - 1 && memcmp(text, prefix, sizeof(prefix) - 1) == 0) {
        skip = (int)sizeof(prefix) - 1;
        if (text[skip] == 'e')
            priority = LOG_ERR;
        else if (text[skip] == 'w')
            priority = LOG_WARNING;
    }
    syslog(priority, "%.*s", (int)size - skip, text + skip);
    return (ssize_t)size;
}

static int open_log(const struct daemon_plan *plan)
{
    const struct mount_options *options = plan->options;
    FILE *stream;

    if (options->log.size > 0) {
        const char *path = (const char *)options->log.data;

        stream = fopen(path, "ae");
        if (!stream)
            return err_new(-errno, "open the log '%s': %s", path, strerror(errno));
    } else if (plan->foreground) {
        return 0;
    } else {
        openlog("sstfs", LOG_PID, LOG_DAEMON);
        stream = fopencookie(NULL, "a", (cookie_io_functions_t){.write = write_to_syslog});
        if (!stream)
            return -ENOMEM;
    }
    setvbuf(stream, NULL, _IOFBF, 4096); /* log_line() flushes once a line */
    log_to(stream);
    return 0;
}

/* ---- telling whoever started us ---- */

static void say_status(struct daemon *daemon, int code, const char *text)
{
    char message[2048];
    size_t size;

    if (daemon->status_fd < 0)
        return;
    message[0] = (char)code;
    snprintf(message + 1, sizeof(message) - 1, "%s", text);
    size = 1 + strlen(message + 1);
    if (write(daemon->status_fd, message, size) != (ssize_t)size)
        log_warning("nobody waits for the start any more");
    close(daemon->status_fd);
    daemon->status_fd = -1;
}

/* The terminal of the command that has started us must not be kept. */
static void let_go_of_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    for (int fd = 0; fd <= 2; fd++)
        if (dup2(null, fd) < 0)
            log_warning("detach descriptor %d: %s", fd, strerror(errno));
    if (null > 2)
        close(null);
}

/* systemd's Type=notify: one datagram, for which its library is not needed. */
static void notify_supervisor(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = path ? strlen(path) : 0;
    int fd;

    if (size == 0 || size >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, size);
    if (*path == '@') /* an abstract name */
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0)
        log_warning("notify '%s': %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void on_ready(void *arg)
{
    struct daemon *daemon = arg;

    log_info("serving '%s' at '%s'", daemon->plan->store, daemon->plan->mountpoint);
    if (!daemon->plan->foreground)
        let_go_of_terminal();
    notify_supervisor("READY=1");
    say_status(daemon, EXIT_DONE, "");
}

static struct metrics_sources sources_of(const struct daemon *daemon)
{
    return (struct metrics_sources){daemon->engine, daemon->fs, daemon->session};
}

static void on_report(void *arg)
{
    struct daemon *daemon = arg;
    struct metrics_sources sources = sources_of(daemon);
    json_t *stats = metrics_to_json(&sources);
    AUTO(freep) char *text = json_dumps(stats, JSON_COMPACT);

    log_info("stats %s", text ? text : "");
    json_decref(stats);
}

/* ---- life ---- */

static int open_store(struct daemon *daemon)
{
    const struct daemon_plan *plan = daemon->plan;
    const struct mount_options *options = plan->options;
    struct engine_options engine_options = {.tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = options->memory_bytes,
        .sync_mode = options->sync_mode,
        .sync_period_us = options->sync_period_us,
        .read_only = options->read_only,
        .all_sstables = options->all_sstables,
        .archive = options->archive};
    struct fs_options fs_options = {.read_only = options->read_only,
        .relatime = options->relatime,
        .lists_snapshots = options->lists_snapshots,
        .owner = (uint64_t)getuid() << 32 | getgid(),
        .snapshots_gid = options->snapshots_gid};
    int r;

    r = env_posix_new(plan->store, &daemon->env);
    if (r < 0)
        return err_with(r, "open '%s'", plan->store);
    if (plan->create) {
        r = engine_create(daemon->env, fs_tables, FS_TABLE_COUNT);
        if (r < 0)
            return err_with(r, "make a store in '%s'", plan->store);
    }
    r = engine_open(daemon->env, &engine_options, &daemon->engine);
    if (r < 0)
        return err_with(r, "open the store '%s'", plan->store);
    r = fs_open(daemon->engine, daemon->env, &fs_options, &daemon->fs);
    return r < 0 ? err_with(r, "open the file system in '%s'", plan->store) : 0;
}

static unsigned threads_max(uint64_t memory_bytes)
{
    uint64_t count = memory_bytes / BYTES_PER_THREAD;

    if (count < THREADS_MIN)
        return THREADS_MIN;
    return count < THREADS_MAX ? (unsigned)count : THREADS_MAX;
}

static int open_session(struct daemon *daemon)
{
    const struct daemon_plan *plan = daemon->plan;
    struct session_options options = {.source = plan->store,
        .mountpoint = plan->mountpoint,
        .mount_flags = (const char *)plan->options->flags.data,
        .allow_other = plan->options->allow_other,
        .node_bytes_max = engine_memory_for_callers(daemon->engine),
        .threads_max = threads_max(plan->options->memory_bytes),
        .synchronous_names = plan->options->synchronous_names,
        .ready = on_ready,
        .report = on_report,
        .arg = daemon};
    struct metrics_sources sources;
    int r;

    /* Requests are answered by session_serve(), so that nobody asks before it is complete. */
    info_offer(&daemon->info, daemon->fs);
    r = session_open(&options, daemon->fs, &daemon->session);
    daemon->info = (struct info){sources_of(daemon), plan};
    if (r < 0 || plan->options->read_only)
        return r;
    /* Of a store that is written to only: the socket is in it; nothing could be changed else. */
    sources = sources_of(daemon);
    return control_start(plan->store, &sources, &daemon->control);
}

/* Each part that was opened, in the reverse order; the first failure. */
static int close_all(struct daemon *daemon)
{
    int first = 0, r;

    control_stop(daemon->control);
    if (daemon->fs) {
        first = fs_close(daemon->fs);
        if (first < 0)
            log_error("close the file system: %s", err_text(first));
    }
    if (daemon->engine) {
        r = engine_close(daemon->engine, daemon->plan->options->read_only ? 0 : CLOSE_FLUSH);
        if (r < 0) {
            log_error("close the store: %s", err_text(r));
            first = first < 0 ? first : r;
        }
    }
    session_close(daemon->session);
    env_free(daemon->env);
    return first;
}

/* In use by another process has a code of its own, which only opening can tell. */
static enum exit_code open_exit_code(int r)
{
    return r == -EBUSY ? EXIT_IN_USE : exit_code_of(r);
}

int daemon_run(const struct daemon_plan *plan)
{
    struct daemon daemon = {.plan = plan, .status_fd = plan->status_fd};
    int code = EXIT_DONE;
    int r;

    prepare_process();
    session_block_signals();
    r = open_log(plan);
    if (r >= 0)
        r = open_store(&daemon);
    if (r >= 0)
        r = open_session(&daemon);
    if (r < 0) {
        code = (int)open_exit_code(r);
        if (plan->foreground)
            complain((enum exit_code)code, "%s", err_text(r));
        say_status(&daemon, code, err_text(r));
        close_all(&daemon);
        return code;
    }
    r = session_serve(daemon.session);
    if (r < 0) {
        log_error("%s", err_text(r));
        say_status(&daemon, EXIT_IO, err_text(r));
        code = EXIT_IO;
    }
    log_info("unmounted '%s'", plan->mountpoint);
    notify_supervisor("STOPPING=1");
    r = close_all(&daemon);
    if (r < 0)
        code = (int)exit_code_of(r);
    return code;
}
