/*
 * Signals, taken by one thread that does nothing else, so that what they ask for may block.
 *
 * libfuse's own handler detaches the mount at once, under the feet of whoever has files open.
 * Here the first SIGTERM is umount(8): busy mounts are detached, then served until their last
 * file is closed.
 */
#include "fuse/session.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "engine/error.h"
#include "engine/log.h"

#define SIGNAL_STOP (SIGRTMIN + 1) /* for the thread itself: session_close() */
#define SIGNAL_WAKE SIGUSR2        /* for the main thread: look again */
#define WAKE_EVERY_NS 50000000

static void on_wake(int signal)
{
    (void)signal; /* it has ended a wait: that was all */
}

static void awaited_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGUSR1);
    sigaddset(ret_set, SIGNAL_STOP);
}

void session_block_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction wake = {.sa_handler = on_wake}; /* without SA_RESTART: waits must end */
    sigset_t set;

    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGNAL_WAKE, &wake, NULL);
    awaited_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* fuse_session_exit() of libfuse before 3.18 does not wake the thread that waits for the workers.
 */
static void end_loop(struct session *session)
{
    struct timespec pause = {.tv_nsec = WAKE_EVERY_NS};

    fuse_session_exit(session->fuse);
    while (!session->is_over) {
        pthread_kill(session->main_thread, SIGNAL_WAKE);
        nanosleep(&pause, NULL);
    }
}

/* True: the loop will end when the last file is closed, or has ended. */
static bool unmount_gently(struct session *session)
{
    const char *mountpoint = session->options.mountpoint;
    int r = session_unmount(mountpoint, false);

    if (r == -EBUSY) {
        log_info("'%s' is busy: detached it, serving open files for at most %d s", mountpoint,
            SESSION_GRACE_S);
        r = session_unmount(mountpoint, true);
    }
    if (r < 0)
        log_warning("unmount '%s': %s", mountpoint, err_text(r));
    return r >= 0;
}

static void *take_signals(void *arg)
{
    struct session *session = arg;
    struct timespec grace = {.tv_sec = SESSION_GRACE_S};
    bool is_ending = false;
    sigset_t set;

    awaited_signals(&set);
    for (;;) {
        int signal = is_ending ? sigtimedwait(&set, NULL, &grace) : sigwaitinfo(&set, NULL);

        if (signal < 0 && errno == EINTR)
            continue;
        if (signal == SIGNAL_STOP)
            return NULL;
        if (signal == SIGUSR1) {
            if (session->options.report)
                session->options.report(session->options.arg);
            continue;
        }
        /* SIGTERM or SIGINT; or the grace is over. */
        if (is_ending || !unmount_gently(session)) {
            end_loop(session);
            is_ending = false;
        } else {
            is_ending = true;
        }
    }
}

int signals_start(struct session *session)
{
    int r = pthread_create(&session->signal_thread, NULL, take_signals, session);

    if (r != 0)
        return err_new(-r, "start the thread for signals");
    session->has_signal_thread = true;
    return 0;
}

void signals_stop(struct session *session)
{
    if (!session->has_signal_thread)
        return;
    session->is_over = true;
    pthread_kill(session->signal_thread, SIGNAL_STOP);
    pthread_join(session->signal_thread, NULL);
    session->has_signal_thread = false;
}
