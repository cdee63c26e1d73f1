/*
 * The commands' side of the control socket, and the commands that are one question.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "engine/buf.h"
#include "engine/error.h"
#include "mountinfo.h"
#include "tools.h"

/* The store's folder, opened: `path` itself, or that of the mount in which it lies. */
static int open_store(const char *path)
{
    struct mount mount = {0};
    const char *store = path;
    int fd, r;

    if (folder_kind(path) != FOLDER_STORE) {
        r = mount_of(path, &mount);
        if (r < 0)
            return r;
        store = mount.source;
    }
    fd = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fd = err_new(-errno, "open the store '%s': %s", store, strerror(errno));
    mount_release(&mount);
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address;
    int folder = open_store(path);
    int fd, r = 0;

    if (folder < 0)
        return folder;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        r = -errno;
    } else {
        control_address(folder, &address);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
            r = -errno;
    }
    close(folder);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        if (r == -ECONNREFUSED || r == -ENOENT)
            return err_new(
                -ENOENT, "no daemon serves '%s'; is it mounted, and not read-only?", path);
        return err_new(r, "connect to the daemon of '%s': %s", path, strerror(-r));
    }
    return fd;
}

static int take_answer(struct bytes line, json_t **ret_result)
{
    json_t *message = json_loadb((const char *)line.data, line.size, 0, NULL);
    json_t *error = json_object_get(message, "error");
    int r = 0;

    if (!json_is_object(message)) {
        r = err_new(-EIO, "the daemon's answer is not JSON");
    } else if (error) {
        const char *text = json_string_value(json_object_get(message, "text"));

        r = (int)json_integer_value(error);
        r = err_new(r < 0 ? r : -EIO, "%s", text ? text : "failed");
    } else {
        *ret_result = json_incref(json_object_get(message, "result"));
    }
    json_decref(message);
    return r;
}

int control_ask(const char *path, const char *command, json_t **ret_result)
{
    return control_ask_with(path, json_pack("{s:s}", "command", command), ret_result);
}

int control_ask_with(const char *path, json_t *question, json_t **ret_result)
{
    struct buf line = BUF_INIT;
    int r, fd = connect_to(path);

    if (fd < 0) {
        json_decref(question);
        return fd;
    }
    r = question ? control_write_line(fd, question) : -ENOMEM;
    json_decref(question);
    if (r >= 0)
        r = control_read_line(fd, &line);
    if (r > 0)
        r = take_answer(buf_bytes(&line), ret_result);
    else
        r = err_new(r < 0 ? r : -EIO, "the daemon of '%s' hung up", path);
    buf_release(&line);
    close(fd);
    return r;
}

/* ---- flush, compact, stats ---- */

static int ask_and_forget(int argc, char **argv)
{
    json_t *result = NULL;
    int r;

    if (argc != 2 || argv[1][0] == '-')
        return complain_usage(argv[0]);
    r = control_ask(argv[1], argv[0], &result);
    if (r < 0)
        return complain_of(r, "%s", argv[0]);
    json_decref(result);
    return EXIT_DONE;
}

int command_flush(int argc, char **argv)
{
    return ask_and_forget(argc, argv);
}

int command_compact(int argc, char **argv)
{
    return ask_and_forget(argc, argv);
}

static int print_stats(const json_t *stats)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    int r = metrics_to_table(stats, &text);

    if (r == 0)
        fwrite(text.data, 1, text.size, stdout);
    return r;
}

int command_stats(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'}, {"metrics", no_argument, NULL, 'm'}, {0}};
    bool as_json = false, as_metrics = false;
    json_t *stats = NULL;
    int option, r;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'j' && option != 'm')
            return complain_usage(argv[0]);
        as_json |= option == 'j';
        as_metrics |= option == 'm';
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    r = control_ask(argv[optind], as_metrics ? "metrics" : "stats", &stats);
    if (r < 0)
        return complain_of(r, "stats");
    if (as_metrics) {
        fputs(json_string_value(stats), stdout);
    } else if (as_json) {
        json_dumpf(stats, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        r = print_stats(stats);
    }
    json_decref(stats);
    return r < 0 ? complain_of(r, "stats") : EXIT_DONE;
}
