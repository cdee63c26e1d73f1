#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/error.h"

#define READ_BYTES 4096u

extern char **environ;

void words_add(struct words *words, const char *format, ...)
{
    char **grown = reallocarray(words->list, words->count + 2, sizeof(*grown));
    va_list arguments;

    if (!grown) {
        words->failure = -ENOMEM;
        return;
    }
    words->list = grown;
    va_start(arguments, format);
    if (vasprintf(&grown[words->count], format, arguments) < 0)
        words->failure = -ENOMEM;
    else
        words->count++;
    va_end(arguments);
    grown[words->count] = NULL;
}

void words_release(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->list[i]);
    free(words->list);
    *words = WORDS_INIT;
}

/* ---- signals ---- */

static volatile sig_atomic_t is_interrupted;
static volatile sig_atomic_t running; /* pid; 0: none */

static void on_signal(int number)
{
    int saved = errno;

    is_interrupted = 1;
    if (running > 0)
        kill((pid_t)running, number);
    errno = saved;
}

void program_take_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        sigaction(numbers[i], &action, NULL);
}

/* A signal that came before the program could be found to pass it on to. */
static void note_running(pid_t pid)
{
    running = pid;
    if (is_interrupted)
        kill(pid, SIGTERM);
}

/* ---- one program ---- */

/* Both ends in one place; -1: closed. */
struct channel {
    int from, to;
    struct buf *text;
};

static int channel_open(struct channel *channel)
{
    int ends[2];

    if (!channel->text)
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    channel->from = ends[0];
    channel->to = ends[1];
    return 0;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start(const struct words *words, const struct channel channels[2], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);

    if (r == 0 && !channels[0].text)
        r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    for (int i = 0; r == 0 && i < 2; i++)
        if (channels[i].to >= 0)
            r = posix_spawn_file_actions_adddup2(&actions, channels[i].to, i + 1);
    if (r == 0)
        r = posix_spawnp(ret_pid, words->list[0], &actions, NULL, words->list, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Until both are closed by the other side. */
static int read_all(struct channel channels[2])
{
    while (channels[0].from >= 0 || channels[1].from >= 0) {
        struct pollfd waits[2] = {
            {.fd = channels[0].from, .events = POLLIN}, {.fd = channels[1].from, .events = POLLIN}};

        if (poll(waits, 2, -1) < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < 2; i++) {
            char bytes[READ_BYTES];
            ssize_t n;

            if (!waits[i].revents)
                continue;
            n = read(channels[i].from, bytes, sizeof(bytes));
            if (n > 0)
                buf_append(channels[i].text, bytes, (size_t)n);
            else if (n == 0 || errno != EINTR)
                close_end(&channels[i].from);
        }
    }
    return 0;
}

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int program_run(const struct words *words, struct buf *output, struct buf *errors)
{
    struct channel channels[2] = {{-1, -1, output}, {-1, -1, errors}};
    pid_t pid = -1;
    int code, r = is_interrupted ? -EINTR : words->failure;

    for (int i = 0; r == 0 && i < 2; i++)
        r = channel_open(&channels[i]);
    if (r == 0)
        r = start(words, channels, &pid);
    for (int i = 0; i < 2; i++)
        close_end(&channels[i].to);
    if (r == 0) {
        note_running(pid);
        r = read_all(channels);
    }
    for (int i = 0; i < 2; i++)
        close_end(&channels[i].from);
    if (pid < 0)
        return r == -EINTR    ? err_new(r, "interrupted")
               : r == -ENOENT ? err_new(r, "'%s' is not installed", words->list[0])
                              : err_with(r, "run '%s'", words->list ? words->list[0] : "");
    code = wait_for(pid);
    running = 0;
    if (is_interrupted)
        r = err_new(-EINTR, "interrupted");
    if (r == 0 && output)
        r = buf_error(output);
    if (r == 0)
        r = buf_error(errors);
    return r < 0 ? r : code;
}
