#include "control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"

#define CONNECTIONS_MAX 16

struct control {
    struct metrics_sources sources;
    int folder, listener, stop;
    pthread_t thread;

    /* Connections are served by a thread each, so that a long compaction does not hide the
     * counters. */
    pthread_mutex_t mutex;
    pthread_cond_t has_changed;
    int connections[CONNECTIONS_MAX]; /* -1: free */
    unsigned connection_count;
};

struct connection {
    struct control *control;
    int fd;
};

/* ---- lines ---- */

void control_address(int fd, struct sockaddr_un *to)
{
    *to = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(to->sun_path, sizeof(to->sun_path), "/proc/self/fd/%d/" CONTROL_NAME, fd);
}

int control_read_line(int fd, struct buf *to)
{
    buf_clear(to);
    while (to->size < CONTROL_LINE_BYTES_MAX) {
        char byte;
        /* Byte by byte: messages are small and rare, and what follows stays in the socket. */
        ssize_t n = recv(fd, &byte, 1, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        if (byte == '\n')
            return buf_error(to) < 0 ? buf_error(to) : 1;
        buf_append_u8(to, (uint8_t)byte);
    }
    return -EMSGSIZE;
}

int control_write_line(int fd, const json_t *message)
{
    AUTO(freep) char *text = json_dumps(message, JSON_COMPACT | JSON_ENCODE_ANY);
    size_t size, sent = 0;

    if (!text)
        return -ENOMEM;
    size = strlen(text);
    text[size++] = '\n'; /* in the place of the NUL */
    while (sent < size) {
        ssize_t n = send(fd, text + sent, size - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        sent += (size_t)n;
    }
    return 0;
}

/* ---- commands ---- */

static json_t *answer(struct control *control, struct bytes line)
{
    json_error_t error;
    json_t *message = json_loadb((const char *)line.data, line.size, 0, &error);
    json_t *result = NULL;
    json_t *to = json_object();
    int r;

    err_clear();
    r = control_run(&control->sources, message, &result);
    if (r < 0) {
        json_object_set_new(to, "error", json_integer(r));
        json_object_set_new(to, "text", json_string(err_text(r)));
    } else {
        json_object_set_new(to, "result", result ? result : json_null());
    }
    json_decref(message);
    return to;
}

/* ---- connections ---- */

static bool is_permitted(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    /* The mode of the socket says the same; some systems have ignored it. */
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void *serve_connection(void *arg)
{
    struct connection connection = *(struct connection *)arg;
    struct control *control = connection.control;
    struct buf line = BUF_INIT;

    free(arg);
    while (control_read_line(connection.fd, &line) == 1) {
        json_t *message = answer(control, buf_bytes(&line));
        int r = control_write_line(connection.fd, message);

        json_decref(message);
        if (r < 0)
            break;
    }
    buf_release(&line);

    pthread_mutex_lock(&control->mutex);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (control->connections[i] == connection.fd)
            control->connections[i] = -1;
    close(connection.fd);
    control->connection_count--;
    pthread_cond_broadcast(&control->has_changed);
    pthread_mutex_unlock(&control->mutex);
    return NULL;
}

/* False: too many at once, or no thread; the caller closes. */
static bool take_connection(struct control *control, int fd)
{
    struct connection *connection = malloc(sizeof(*connection));
    pthread_t thread;
    bool is_taken = false;

    if (!connection)
        return false;
    *connection = (struct connection){control, fd};
    pthread_mutex_lock(&control->mutex);
    for (int i = 0; i < CONNECTIONS_MAX && !is_taken; i++) {
        if (control->connections[i] >= 0)
            continue;
        if (pthread_create(&thread, NULL, serve_connection, connection) != 0)
            break;
        pthread_detach(thread);
        control->connections[i] = fd;
        control->connection_count++;
        is_taken = true;
    }
    pthread_mutex_unlock(&control->mutex);
    if (!is_taken)
        free(connection);
    return is_taken;
}

static void *listen_for_connections(void *arg)
{
    struct control *control = arg;
    struct pollfd waits[] = {
        {.fd = control->listener, .events = POLLIN}, {.fd = control->stop, .events = POLLIN}};

    for (;;) {
        int fd;

        if (poll(waits, ARRAY_COUNT(waits), -1) < 0 && errno != EINTR)
            return NULL;
        if (waits[1].revents)
            return NULL;
        if (!waits[0].revents)
            continue;
        fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && (!is_permitted(fd) || !take_connection(control, fd)))
            close(fd);
    }
}

/* ---- life ---- */

static void control_free(struct control *control)
{
    if (control->listener >= 0)
        close(control->listener);
    if (control->stop >= 0)
        close(control->stop);
    if (control->folder >= 0)
        close(control->folder);
    pthread_cond_destroy(&control->has_changed);
    pthread_mutex_destroy(&control->mutex);
    free(control);
}

static int control_listen(struct control *control, const char *store)
{
    struct sockaddr_un address;
    mode_t mask;
    int r;

    control->folder = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (control->folder < 0)
        return -errno;
    control->stop = eventfd(0, EFD_CLOEXEC);
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (control->stop < 0 || control->listener < 0)
        return -errno;
    /* A killed daemon leaves its socket; the store's lock, which we hold, says that it is dead. */
    if (unlinkat(control->folder, CONTROL_NAME, 0) < 0 && errno != ENOENT)
        return -errno;
    control_address(control->folder, &address);
    mask = umask(0177);
    r = bind(control->listener, (const struct sockaddr *)&address, sizeof(address));
    r = r < 0 ? -errno : 0;
    umask(mask);
    if (r < 0)
        return r;
    return listen(control->listener, CONNECTIONS_MAX) < 0 ? -errno : 0;
}

int control_start(
    const char *store, const struct metrics_sources *sources, struct control **ret_control)
{
    struct control *control = calloc(1, sizeof(*control));
    int r;

    if (!control)
        return -ENOMEM;
    control->sources = *sources;
    control->folder = control->listener = control->stop = -1;
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        control->connections[i] = -1;
    pthread_mutex_init(&control->mutex, NULL);
    pthread_cond_init(&control->has_changed, NULL);

    r = control_listen(control, store);
    if (r >= 0)
        r = -pthread_create(&control->thread, NULL, listen_for_connections, control);
    if (r < 0) {
        control_free(control);
        return err_new(r, "control socket in '%s': %s", store, strerror(-r));
    }
    *ret_control = control;
    return 0;
}

void control_stop(struct control *control)
{
    uint64_t one = 1;

    if (!control)
        return;
    if (write(control->stop, &one, sizeof(one)) != sizeof(one))
        log_error("stop the control thread: %s", strerror(errno));
    pthread_join(control->thread, NULL);
    unlinkat(control->folder, CONTROL_NAME, 0);

    pthread_mutex_lock(&control->mutex);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (control->connections[i] >= 0)
            shutdown(control->connections[i], SHUT_RD);
    while (control->connection_count > 0)
        pthread_cond_wait(&control->has_changed, &control->mutex);
    pthread_mutex_unlock(&control->mutex);
    control_free(control);
}
