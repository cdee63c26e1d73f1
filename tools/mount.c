/*
 * sstfs mount, and mount.sstfs for mount(8) and fstab.
 *
 *   command                      daemon (child)
 *   -------                      --------------
 *   check store and mountpoint
 *   fork ----------------------> open, replay, mount
 *   wait  <------- status ------ the kernel has greeted it
 *   print, tune, exit            serve
 *
 * The fork comes first: threads do not survive one. With -f it is the other way round, and the
 * child only waits, to tune what needs the mount to be ready: the daemon may not touch it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "engine/error.h"
#include "fs/session.h"
#include "mountinfo.h"
#include "tools.h"

#define READ_AHEAD_KB "1024"
#define DEAD_MOUNTS_MAX 16

/* Exit codes of mount(8). */
enum mount_code { MOUNT_USAGE = 1, MOUNT_SYSTEM = 2, MOUNT_FAILED = 32 };

struct call {
    struct mount_options options;
    bool foreground, sloppy, fake, as_helper;
    char *store, *mountpoint; /* absolute */
    bool create, is_snapshot;
};

/* ---- before the fork ---- */

/* A killed daemon leaves its mountpoint behind: what is done there fails with ENOTCONN, but for
 * what the kernel has cached, as attributes; the answer to statfs(2) it has not. */
static int detach_dead_mount(const char *mountpoint)
{
    struct statfs unused;

    for (int i = 0; i < DEAD_MOUNTS_MAX; i++) {
        struct mount mount = {0};
        int r;

        if (statfs(mountpoint, &unused) == 0 || !errno_is_of_dead_mount(errno))
            break;
        r = mount_find(mountpoint, true, &mount);
        mount_release(&mount);
        if (r < 0)
            return r;
        if (r == 0)
            return err_new(-ENOTCONN, "'%s' is the dead mount of another program", mountpoint);
        r = session_unmount(mountpoint, true);
        if (r < 0)
            return err_with(r, "detach the dead mount at '%s'", mountpoint);
        fprintf(stderr, "sstfs: detached the dead mount at '%s'\n", mountpoint);
    }
    return 0;
}

static int check_mountpoint(struct call *call, const char *given)
{
    struct stat status;
    int r = absolute_path(given, &call->mountpoint);

    if (r >= 0)
        r = detach_dead_mount(call->mountpoint);
    if (r < 0)
        return complain_of(r, "mountpoint");
    if (stat(call->mountpoint, &status) < 0) {
        if (errno == ENOENT)
            return complain(EXIT_NOT_FOUND, "the mountpoint '%s' does not exist", given);
        return complain_of(err_new(-errno, "%s", strerror(errno)), "mountpoint '%s'", given);
    }
    if (!S_ISDIR(status.st_mode))
        return complain(EXIT_USAGE, "the mountpoint '%s' is not a directory", given);
    return EXIT_DONE;
}

/* A daemon whose store lies behind its own mountpoint waits for itself. */
static int check_nesting(const struct call *call)
{
    int r = folder_is_within(call->mountpoint, call->store);

    if (r < 0)
        return complain_of(r, "mountpoint");
    if (r > 0)
        return complain(EXIT_USAGE, "the mountpoint '%s' lies in the store '%s'", call->mountpoint,
            call->store);
    r = folder_is_within(call->store, call->mountpoint);
    if (r == 0) {
        /* A store that is to be made is where its parent is. */
        AUTO(freep) char *parent = strdup(call->store);
        char *slash = parent ? strrchr(parent, '/') : NULL;

        if (!slash)
            return complain_of(-ENOMEM, "store");
        slash[slash == parent] = '\0';
        r = folder_is_within(parent, call->mountpoint);
    }
    if (r < 0)
        return complain_of(r, "store");
    if (r > 0)
        return complain(EXIT_USAGE,
            "the store '%s' lies below the mountpoint '%s', which would "
            "hide it",
            call->store, call->mountpoint);
    return EXIT_DONE;
}

/* On the user's word only: what SSTables are of one point nothing there can prove. */
static int check_sstables(const struct call *call)
{
    if (!call->options.all_sstables)
        return complain(EXIT_NOT_A_STORE,
            "'%s' has SSTables but neither store.json nor snapshot.json: a copy that is not whole; "
            "or, if it is a snapshot of Cassandra's: mount -o ro --all-sstables",
            call->store);
    if (!call->options.read_only)
        return complain(EXIT_USAGE, "--all-sstables: mount '%s' with -o ro", call->store);
    return EXIT_DONE;
}

static int check_store(struct call *call)
{
    bool read_only = call->options.read_only;
    int kind = folder_kind(call->store);

    if (call->options.all_sstables && kind >= 0 && kind != FOLDER_SSTABLES)
        return complain(
            EXIT_USAGE, "--all-sstables: '%s' is no snapshot of Cassandra's", call->store);
    switch (kind) {
    case FOLDER_SSTABLES:
        return check_sstables(call);
    case FOLDER_STORE:
        return EXIT_DONE;
    case FOLDER_SNAPSHOT:
        call->is_snapshot = true;
        if (read_only)
            return EXIT_DONE;
        return complain(EXIT_USAGE,
            "'%s' is a snapshot: mount it with -o ro, or make a store of it: sstfs init --from "
            "'%s' STORE",
            call->store, call->store);
    case FOLDER_MISSING:
        if (read_only)
            return complain(EXIT_NOT_FOUND, "the store '%s' does not exist", call->store);
        if (mkdir(call->store, 0700) < 0)
            return complain_of(
                err_new(-errno, "%s", strerror(errno)), "make the store '%s'", call->store);
        call->create = true;
        return EXIT_DONE;
    case FOLDER_EMPTY:
        if (read_only)
            return complain(EXIT_NOT_A_STORE, "'%s' is not a store: it is empty", call->store);
        call->create = true;
        return EXIT_DONE;
    case FOLDER_OTHER:
        return complain(EXIT_NOT_A_STORE,
            "'%s' is not a store: it has neither store.json nor snapshot.json, and is not empty",
            call->store);
    case -ENOTDIR:
        return complain(EXIT_NOT_A_STORE, "'%s' is not a store: it is not a folder", call->store);
    default:
        return complain_of(kind, "store");
    }
}

static int prepare(struct call *call, const char *store, const char *mountpoint)
{
    int r, code;

    code = check_mountpoint(call, mountpoint);
    if (code != EXIT_DONE)
        return code;
    r = absolute_path(store, &call->store);
    if (r < 0)
        return complain_of(r, "store");
    code = check_nesting(call);
    if (code == EXIT_DONE)
        code = check_store(call);
    if (code == EXIT_DONE && options_seal(&call->options) < 0)
        code = complain_of(-ENOMEM, "options");
    return code;
}

/* ---- after the start ---- */

/* The kernel offers 128 KiB of read-ahead and lets the greeting only lower it. Root may raise it;
 * nobody else needs to know that it failed. */
static void tune_read_ahead(const char *mountpoint)
{
    struct stat status;
    char path[64];
    FILE *file;

    if (stat(mountpoint, &status) < 0) /* answered when the greeting is over */
        return;
    snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(status.st_dev),
        minor(status.st_dev));
    file = fopen(path, "we");
    if (!file)
        return;
    fputs(READ_AHEAD_KB, file);
    fclose(file);
}

/* Waits for the daemon's one message. */
static int take_status(int fd, const struct call *call, bool print)
{
    char message[2048];
    size_t size = 0;
    ssize_t n;

    while ((n = read(fd, message + size, sizeof(message) - 1 - size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        size += (size_t)n;
    }
    close(fd);
    message[size] = '\0';
    if (size == 0)
        return print ? complain(EXIT_IO, "the daemon died before it could serve '%s'", call->store)
                     : EXIT_IO;
    if (message[0] == EXIT_DONE)
        tune_read_ahead(call->mountpoint);
    else if (print)
        complain((enum exit_code)message[0], "%s", message + 1);
    return message[0];
}

static struct daemon_plan plan_of(const struct call *call, int status_fd)
{
    return (struct daemon_plan){.store = call->store,
        .mountpoint = call->mountpoint,
        .create = call->create,
        .foreground = call->foreground,
        .options = &call->options,
        .status_fd = status_fd};
}

static int start_in_background(const struct call *call, const int *pipe_fds)
{
    struct daemon_plan plan = plan_of(call, pipe_fds[1]);
    pid_t pid = fork();

    if (pid < 0)
        return complain_of(err_new(-errno, "%s", strerror(errno)), "fork");
    if (pid == 0) {
        close(pipe_fds[0]);
        setsid();
        /* So that no file system is kept busy by where the command was called. */
        if (chdir("/") < 0)
            _exit(EXIT_IO);
        exit(daemon_run(&plan));
    }
    close(pipe_fds[1]);
    return take_status(pipe_fds[0], call, true);
}

static int start_in_foreground(const struct call *call, const int *pipe_fds)
{
    struct daemon_plan plan = plan_of(call, pipe_fds[1]);
    pid_t pid = fork();

    if (pid < 0)
        return complain_of(err_new(-errno, "%s", strerror(errno)), "fork");
    if (pid == 0) {
        /* A grandchild waits, so that the daemon has no child to wait for. */
        close(pipe_fds[1]);
        if (fork() == 0)
            take_status(pipe_fds[0], call, false); /* the daemon has the terminal */
        _exit(0);
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close(pipe_fds[0]);
    return daemon_run(&plan);
}

/* What is whole of a copy can be read all the same. */
static void warn_of_missing_files(const char *folder)
{
    struct env *env = NULL;
    int r = env_posix_new(folder, &env);

    if (r == 0)
        r = engine_check_snapshot_files(env, fs_tables, FS_TABLE_COUNT);
    if (r < 0)
        complain(
            EXIT_DONE, "warning: '%s': %s; reading what is in it will fail", folder, err_text(r));
    env_free(env);
}

static int run(struct call *call, const char *store, const char *mountpoint)
{
    int pipe_fds[2];
    int code = prepare(call, store, mountpoint);

    if (code != EXIT_DONE || call->fake)
        return code;
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return complain_of(err_new(-errno, "%s", strerror(errno)), "pipe");
    if (call->foreground)
        return start_in_foreground(call, pipe_fds);
    code = start_in_background(call, pipe_fds);
    if (code == EXIT_DONE && call->is_snapshot)
        warn_of_missing_files(call->store);
    return code;
}

static void call_release(struct call *call)
{
    options_release(&call->options);
    free(call->store);
    free(call->mountpoint);
}

/* ---- command lines ---- */

int command_mount(int argc, char **argv)
{
    static const struct option long_options[] = {{"all-sstables", no_argument, NULL, 'a'}, {0}};
    struct call call = {0};
    int option, code = EXIT_DONE;

    options_init(&call.options);
    while (
        code == EXIT_DONE && (option = getopt_long(argc, argv, "fo:", long_options, NULL)) != -1) {
        if (option == 'f')
            call.foreground = true;
        else if (option == 'a')
            call.options.all_sstables = true;
        else if (option != 'o')
            code = complain_usage(argv[0]);
        else if (options_parse(&call.options, optarg, false) < 0)
            code = complain(EXIT_USAGE, "%s", err_text(-EINVAL));
    }
    if (code == EXIT_DONE && optind + 2 != argc)
        code = complain_usage(argv[0]);
    if (code == EXIT_DONE)
        code = run(&call, argv[optind], argv[optind + 1]);
    call_release(&call);
    return code;
}

static int helper_code(int code)
{
    switch (code) {
    case EXIT_DONE:
        return 0;
    case EXIT_USAGE:
    case EXIT_PERMISSION:
        return MOUNT_USAGE;
    case EXIT_IO:
        return MOUNT_SYSTEM;
    default:
        return MOUNT_FAILED;
    }
}

int command_mount_helper(int argc, char **argv)
{
    struct call call = {.as_helper = true};
    int option, code = EXIT_DONE;

    options_init(&call.options);
    /* -n, -v, -N NAMESPACE and -t TYPE are mount(8)'s own affairs. */
    while (code == EXIT_DONE && (option = getopt(argc, argv, "sfnvN:t:o:")) != -1) {
        if (option == 's')
            call.sloppy = true;
        else if (option == 'f')
            call.fake = true;
        else if (option == '?')
            code = EXIT_USAGE;
        else if (option == 'o' && options_parse(&call.options, optarg, call.sloppy) < 0)
            code = complain(EXIT_USAGE, "%s", err_text(-EINVAL));
    }
    if (code == EXIT_DONE && optind + 2 != argc)
        code = complain(EXIT_USAGE, "usage: mount.sstfs STORE MNT [-sfnv] [-o OPTIONS]");
    if (code == EXIT_DONE)
        code = run(&call, argv[optind], argv[optind + 1]);
    call_release(&call);
    return helper_code(code);
}
