/*
 * sstfs restore MNT TAG PATH…: files and folders as they were, copied out of MNT/.past/TAG by cp(1)
 * with all that they have: modes, owners, times, links, extended attributes. They are copied beside
 * their place first: so one that cannot be read, or has no room, replaces nothing. With --at it is
 * another command, of a whole store: restore_at.c.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/error.h"
#include "json_text.h"
#include "mountinfo.h"
#include "program.h"
#include "restore_at.h"
#include "tools.h"

#define HALF_NAME ".sstfs-restore-%d" /* process */

struct restore {
    char *mountpoint;
    const char *tag;
    const char *to; /* NULL: where they were */
    bool overwrites;
    json_t *told; /* what is restored, as one document at the end; NULL: nothing is said */
};

/* The path within the mount of what the user named: relative to the mountpoint, or absolute. */
static const char *inside(const struct restore *restore, const char *path)
{
    size_t size = strlen(restore->mountpoint);

    if (strncmp(path, restore->mountpoint, size) == 0 && (path[size] == '/' || !path[size]))
        path += size;
    while (*path == '/')
        path++;
    return path;
}

static int run_cp(const char *how, const char *from, const char *to)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT, errors = BUF_INIT;
    const char *text;
    int code;

    words_add(&words, "cp");
    words_add(&words, "%s", how);
    words_add(&words, "-T");
    words_add(&words, "--remove-destination");
    words_add(&words, "--");
    words_add(&words, "%s", from);
    words_add(&words, "%s", to);
    code = program_run(&words, &output, &errors);
    if (code <= 0)
        return code;
    buf_append_u8(&errors, 0);
    text = buf_error(&errors) == 0 ? (const char *)errors.data : "";
    return err_new(strstr(text, "No space left")                                        ? -ENOSPC
                   : strstr(text, "Permission denied") || strstr(text, "not permitted") ? -EACCES
                                                                                        : -EIO,
        "%.*s", (int)strcspn(text, "\n"), text);
}

static int put_in_place(const char *half, const char *to)
{
    struct stat new, old;

    if (lstat(half, &new) < 0)
        return err_new(-errno, "'%s': %s", half, strerror(errno));
    /* What the folder there has beside stays; links take no room. */
    if (S_ISDIR(new.st_mode) && lstat(to, &old) == 0 && S_ISDIR(old.st_mode))
        return run_cp("-al", half, to);
    if (rename(half, to) == 0)
        return 0;
    return err_new(errno == ENOTDIR || errno == EISDIR ? -EEXIST : -errno, "'%s' stays: %s", to,
        strerror(errno));
}

static int copy_tree(const char *from, const char *to)
{
    AUTO(freep) char *half = NULL;
    int size = (int)(strrchr(to, '/') + 1 - to), r, removed;

    if (asprintf(&half, "%.*s" HALF_NAME, size, to, (int)getpid()) < 0)
        return -ENOMEM;
    r = run_cp("-a", from, half);
    if (r == 0)
        r = put_in_place(half, to);
    removed = folder_remove(half);
    if (removed < 0)
        complain(exit_code_of(removed), "remove '%s': %s", half, strerror(-removed));
    return r;
}

static int restore_one(const struct restore *restore, const char *path)
{
    AUTO(freep) char *from = NULL;
    AUTO(freep) char *to = NULL;
    const char *name = inside(restore, path), *slash = strrchr(name, '/');
    struct stat unused;

    if (!*name)
        return err_new(-EINVAL, "name files or folders; sstfs rollback restores everything");
    if (asprintf(&from, "%s/.past/%s/%s", restore->mountpoint, restore->tag, name) < 0)
        return -ENOMEM;
    if (restore->to ? asprintf(&to, "%s/%s", restore->to, slash ? slash + 1 : name) < 0
                    : asprintf(&to, "%s/%s", restore->mountpoint, name) < 0)
        return -ENOMEM;
    if (lstat(from, &unused) < 0)
        return err_new(
            -errno, "%s", errno == ENOENT ? "it is not in the snapshot" : strerror(errno));
    if (!restore->overwrites && lstat(to, &unused) == 0)
        return err_new(-EEXIST, "'%s' exists; -y overwrites, --to DIR restores elsewhere", to);
    return copy_tree(from, to);
}

static int check_tag(const struct restore *restore)
{
    AUTO(freep) char *folder = NULL;
    struct stat unused;

    if (!snapshot_tag_is_valid(restore->tag))
        return complain(EXIT_USAGE, "'%s' is not a tag", restore->tag);
    if (asprintf(&folder, "%s/.past/%s", restore->mountpoint, restore->tag) < 0)
        return complain_of(-ENOMEM, "restore");
    if (lstat(folder, &unused) < 0)
        return errno == ENOENT ? complain(EXIT_NOT_FOUND, "there is no snapshot '%s'", restore->tag)
                               : complain_of(-errno, "'%s'", folder);
    return EXIT_DONE;
}

/* One failure does not stop the rest. */
static int restore_all(const struct restore *restore, char *const *paths, int count)
{
    int code = EXIT_DONE, done = 0;

    for (int i = 0; i < count; i++) {
        int r;

        for (size_t size = strlen(paths[i]); size > 1 && paths[i][size - 1] == '/'; size--)
            paths[i][size - 1] = '\0';
        r = restore_one(restore, paths[i]);
        if (r == -EINTR) {
            complain_of(r, "restore '%s'", paths[i]);
            code = EXIT_PART;
            break;
        }
        if (r < 0) {
            code = complain_of(r, "restore '%s'", paths[i]);
            continue;
        }
        done++;
        if (restore->told)
            json_append_name(restore->told, "restored", inside(restore, paths[i]));
    }
    if (code != EXIT_DONE && done > 0)
        code = EXIT_PART;
    return restore->told && done > 0 ? print_json(json_incref(restore->told), code) : code;
}

int command_restore(int argc, char **argv)
{
    static const struct option long_options[] = {{"to", required_argument, NULL, 't'},
        {"at", required_argument, NULL, 'a'}, {"log", required_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'}, {0}};
    struct restore restore = {0};
    struct restore_at at = {0};
    struct mount mount = {0};
    int option, r, code;

    while ((option = getopt_long(argc, argv, "y", long_options, NULL)) != -1) {
        if (option == 't')
            restore.to = optarg;
        else if (option == 'y')
            restore.overwrites = true;
        else if (option == 'a')
            at.moment = optarg;
        else if (option == 'l')
            at.log = optarg;
        else if (option == 'j')
            at.as_json = true;
        else
            return complain_usage(argv[0]);
    }
    if (at.moment || at.log) {
        if (!at.moment || restore.to || restore.overwrites || optind + 2 != argc)
            return complain_usage(argv[0]);
        at.folder = argv[optind];
        at.store = argv[optind + 1];
        return restore_at(&at);
    }
    if (argc - optind < 3)
        return complain_usage(argv[0]);
    r = mount_of(argv[optind], &mount);
    if (r < 0)
        return complain_of(r, "restore");
    restore.mountpoint = mount.mountpoint;
    restore.tag = argv[optind + 1];
    if (at.as_json)
        restore.told = json_pack("{s:s, s:[]}", "tag", restore.tag, "restored");
    program_take_signals();
    code = check_tag(&restore);
    if (code == EXIT_DONE)
        code = restore_all(&restore, argv + optind + 2, argc - optind - 2);
    json_decref(restore.told);
    mount_release(&mount);
    return code;
}
