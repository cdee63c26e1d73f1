/*
 * sstfs backup MNT DEST: one more copy of the tree in DEST, which is a folder or HOST:PATH.
 *
 *   DEST/incomplete    what is being copied, or what an interrupted copy has left
 *   DEST/TAG           a complete set: a snapshot's folder; files that an older set has are links
 *
 * Files of a snapshot never change, and their names are never used again: so what a set before has,
 * or an interrupted copy, is not copied again. All is done by rsync, near and far alike. The tag is
 * made for the copy and held as long as it lasts, in the name of this process: what a backup that
 * was killed has left held, the next one lets go.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "json_text.h"
#include "mountinfo.h"
#include "program.h"
#include "retention.h"
#include "snapshots.h"
#include "tools.h"

#define INCOMPLETE "incomplete"
#define HOLD_FORMAT "backup-%d%s" /* process, and whether the tag goes with the hold */
#define HOLD_OWN "-own"
#define HOLD_MAX 48

struct backup {
    const char *path;        /* in the mount */
    const char *destination; /* without a slash at its end */
    char tag[SNAPSHOT_TAG_MAX + 1];
    char hold[HOLD_MAX];
    bool is_own_tag; /* made for this copy, so it goes afterwards */
    bool is_held, is_made;
    bool verifies, is_quiet, shows_progress;
    json_t *told; /* what was made and removed, as one document at the end; NULL: in words */
    struct retention retention;
    char *folder; /* .snapshots/TAG */
};

/* A complete set in DEST. */
struct set {
    char tag[SNAPSHOT_TAG_MAX + 1];
    time_t made;
};

struct sets {
    struct set *list; /* newest first */
    size_t count;
};

static void sets_release(struct sets *sets)
{
    free(sets->list);
}

/* ---- rsync ---- */

#define RSYNC_NOT_THERE 127 /* on the other host */

/* What it complained of, in one line and with our code. */
static int rsync_failed(int code, struct buf *errors, const char *what)
{
    const char *text;
    int r = -EIO;

    buf_append_u8(errors, 0);
    text = buf_error(errors) == 0 ? (const char *)errors->data : "";
    if (strstr(text, "No space left on device") || strstr(text, "Disk quota exceeded"))
        r = -ENOSPC;
    else if (strstr(text, "Permission denied") || strstr(text, "Operation not permitted") ||
             strstr(text, "Read-only file system"))
        r = -EACCES;
    else if (strstr(text, "No such file or directory") || code == RSYNC_NOT_THERE)
        r = -ENOENT;
    else if (strstr(text, "Not a directory"))
        r = -ENOTDIR;
    return err_new(r, "%s: rsync, exit code %d: %.*s", what, code, (int)strcspn(text, "\n"), text);
}

/* `output` NULL: shown on stderr. */
static int rsync(const struct words *words, struct buf *output, const char *what)
{
    AUTO(buf_release) struct buf errors = BUF_INIT;
    int code = program_run(words, output, &errors);

    return code > 0 ? rsync_failed(code, &errors, what) : code;
}

static void begin_rsync(struct words *words, const char *options)
{
    words_add(words, "rsync");
    words_add(words, "%s", options);
}

/* ---- what is in DEST ---- */

/* "-r--r-----          4,096 2026/11/28 07:00:00 TAG/snapshot.json": a set, and when it was made.
 */
static bool parse_set(char *line, struct set *to)
{
    static const char file[] = "/snapshot.json";
    struct tm when = {.tm_isdst = -1};
    const char *fields[4];
    char *rest = line;
    size_t size;

    for (int i = 0; i < 4; i++) {
        do
            fields[i] = strsep(&rest, " ");
        while (fields[i] && !*fields[i]);
        if (!fields[i])
            return false;
    }
    size = rest ? strlen(rest) : 0;
    if (size < sizeof(file) || strcmp(rest + size - (sizeof(file) - 1), file) != 0)
        return false;
    rest[size - (sizeof(file) - 1)] = 0;
    if (!snapshot_tag_is_valid(rest) || strcmp(rest, INCOMPLETE) == 0)
        return false;
    if (!strptime(fields[2], "%Y/%m/%d", &when) || !strptime(fields[3], "%H:%M:%S", &when))
        return false;
    strcpy(to->tag, rest);
    to->made = mktime(&when);
    return true;
}

static int newer_first(const void *a, const void *b)
{
    const struct set *left = a, *right = b;

    if (left->made != right->made)
        return left->made > right->made ? -1 : 1;
    return -strcmp(left->tag, right->tag);
}

static int list_sets(const struct backup *backup, struct sets *to)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;
    char *rest, *line;
    int r;

    begin_rsync(&words, "--list-only");
    words_add(&words, "-r");
    words_add(&words, "--include=/*/");
    words_add(&words, "--include=/*/snapshot.json");
    words_add(&words, "--exclude=*");
    words_add(&words, "%s/", backup->destination);
    r = rsync(&words, &output, "list the destination");
    buf_append_u8(&output, 0);
    if (r == 0)
        r = buf_error(&output);
    if (r < 0)
        return r;
    rest = (char *)output.data;
    while ((line = strsep(&rest, "\n"))) {
        struct set *grown = reallocarray(to->list, to->count + 1, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        to->list = grown;
        to->count += parse_set(line, &grown[to->count]);
    }
    if (to->count > 0)
        qsort(to->list, to->count, sizeof(*to->list), newer_first);
    return 0;
}

/* The store's UUID in a snapshot.json; `folder`: whose it is, for the words. */
static int read_store(const char *path, const char *folder, char to[64])
{
    json_t *root = json_load_file(path, 0, NULL);
    const char *uuid = json_string_value(json_object_get(root, "store"));
    int r = uuid ? 0
                 : err_new(-EUCLEAN,
                       "snapshot.json of '%s' is damaged: remove that set, or heal it", folder);

    if (uuid)
        snprintf(to, 64, "%s", uuid);
    json_decref(root);
    return r;
}

/* A folder that gathers the backups of two stores would be rotated as if they were one. */
static int check_same_store(const struct backup *backup, const struct set *newest)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;
    char folder[] = "/tmp/sstfs-backup-XXXXXX", fetched[64], own[PATH_MAX];
    char theirs[64] = "", ours[64] = "";
    int r;

    if (!mkdtemp(folder))
        return err_new(-errno, "make '%s': %s", folder, strerror(errno));
    snprintf(fetched, sizeof(fetched), "%s/snapshot.json", folder);
    snprintf(own, sizeof(own), "%s/snapshot.json", backup->folder);
    begin_rsync(&words, "-t");
    words_add(&words, "%s/%s/snapshot.json", backup->destination, newest->tag);
    words_add(&words, "%s", fetched);
    r = rsync(&words, &output, "read the newest backup");
    if (r == 0)
        r = read_store(fetched, newest->tag, theirs);
    if (r == 0)
        r = read_store(own, backup->tag, ours);
    unlink(fetched);
    rmdir(folder);
    if (r == 0 && strcmp(theirs, ours) != 0)
        r = err_new(-EBUSY, "'%s' has backups of another store, %s", backup->destination, theirs);
    return r;
}

/* ---- copying ---- */

/* `how` NULL, or a further option. */
static int copy(const struct backup *backup, const struct sets *sets, const char *how)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;

    begin_rsync(&words, "-a");
    words_add(&words, "--delete");
    words_add(&words, "--fsync");
    words_add(&words, "--chmod=u+w"); /* else who is not root cannot replace or rotate */
    if (how)
        words_add(&words, "%s", how);
    if (backup->shows_progress) {
        words_add(&words, "--info=progress2");
        words_add(&words, "--no-inc-recursive"); /* or the percentage is of what is known so far */
    }
    if (sets->count > 0)
        words_add(&words, "--link-dest=../%s", sets->list[0].tag);
    words_add(&words, "%s/", backup->folder);
    words_add(&words, "%s/" INCOMPLETE "/", backup->destination);
    return rsync(&words, backup->shows_progress ? NULL : &output, "copy");
}

/* The files beside the SSTables have the same names in every set. Those of two sets may agree in
 * size and second, and then rsync takes them for equal: so these few are copied always. */
static int copy_again(const struct backup *backup)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;

    begin_rsync(&words, "-aI");
    words_add(&words, "--fsync");
    words_add(&words, "--chmod=u+w");
    words_add(&words, "--exclude=nb-*");
    words_add(&words, "%s/", backup->folder);
    words_add(&words, "%s/" INCOMPLETE "/", backup->destination);
    return rsync(&words, &output, "copy");
}

/* Reads both sides: whatever rsync would still do is a difference. */
static int compare(const struct backup *backup)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;
    int r;

    begin_rsync(&words, "-rtnci");
    words_add(&words, "--delete");
    words_add(&words, "%s/", backup->folder);
    words_add(&words, "%s/" INCOMPLETE "/", backup->destination);
    r = rsync(&words, &output, "verify");
    if (r == 0 && output.size > 0) {
        buf_append_u8(&output, 0);
        r = buf_error(&output);
    }
    if (r == 0 && output.size > 0)
        r = err_new(-EUCLEAN, "the copy differs: %.*s", (int)(strcspn((char *)output.data, "\n")),
            (char *)output.data);
    return r;
}

/* What differs was copied before, and has rotted since, in this set or in the one that it shares
 * files with: it is copied once more, and that set keeps what it has. */
static int verify(const struct backup *backup, const struct sets *sets)
{
    int r = compare(backup);

    if (r != -EUCLEAN)
        return r;
    complain(EXIT_DONE, "%s; it is copied again", err_text(r));
    r = copy(backup, sets, "--checksum");
    return r == 0 ? compare(backup) : r;
}

/* ---- changing DEST ---- */

/* The colon of HOST:PATH, as rsync sees it; NULL: it is a path here. */
static const char *host_end(const char *destination)
{
    const char *colon = strchr(destination, ':');

    return colon && !memchr(destination, '/', (size_t)(colon - destination)) ? colon : NULL;
}

/* A word for the shell of another host. */
static void add_quoted(struct buf *to, const char *text)
{
    buf_append_u8(to, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_append(to, "'\\''", 4);
        else
            buf_append_u8(to, (uint8_t)*text);
    }
    buf_append(to, "' ", 2);
}

/* `command` with an option and one or two names in DEST (the second may be NULL), where DEST is. */
static int run_in_destination(const struct backup *backup, const char *command, const char *option,
    const char *first, const char *second)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf line = BUF_INIT, output = BUF_INIT, errors = BUF_INIT;
    const char *names[2] = {first, second};
    const char *colon = host_end(backup->destination);
    const char *folder = colon ? colon + 1 : backup->destination;
    int code;

    if (colon) {
        words_add(&words, "ssh");
        words_add(&words, "%.*s", (int)(colon - backup->destination), backup->destination);
        buf_append(&line, command, strlen(command));
        buf_append_u8(&line, ' ');
        buf_append(&line, option, strlen(option));
        buf_append(&line, " -- ", 4);
    } else {
        words_add(&words, "%s", command);
        words_add(&words, "%s", option);
        words_add(&words, "--");
    }
    for (int i = 0; i < 2 && names[i]; i++) {
        AUTO(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", *folder ? folder : ".", names[i]) < 0)
            return -ENOMEM;
        if (colon)
            add_quoted(&line, path);
        else
            words_add(&words, "%s", path);
    }
    if (colon) {
        buf_append_u8(&line, 0);
        if (buf_error(&line) < 0)
            return buf_error(&line);
        words_add(&words, "%s", (const char *)line.data);
    }
    code = program_run(&words, &output, &errors);
    if (code <= 0)
        return code;
    buf_append_u8(&errors, 0);
    return err_new(-EIO, "%s in the destination: %s", command,
        buf_error(&errors) == 0 ? (const char *)errors.data : "");
}

/* The set just made is the newest, also where several are of one second. */
static void move_own_to_front(const struct backup *backup, struct sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        struct set own = sets->list[i];

        if (strcmp(own.tag, backup->tag) != 0)
            continue;
        memmove(sets->list + 1, sets->list, i * sizeof(own));
        sets->list[0] = own;
        return;
    }
}

static int rotate(const struct backup *backup, const struct sets *sets)
{
    AUTO(freep) time_t *times = calloc(sets->count + 1, sizeof(*times));
    AUTO(freep) bool *keep = calloc(sets->count + 1, sizeof(*keep));
    int first = 0;

    if (!times || !keep)
        return -ENOMEM;
    for (size_t i = 0; i < sets->count; i++)
        times[i] = sets->list[i].made;
    retention_choose(&backup->retention, times, sets->count, keep);
    for (size_t i = 0; i < sets->count; i++) {
        int r;

        if (keep[i] || strcmp(sets->list[i].tag, backup->tag) == 0)
            continue;
        r = run_in_destination(backup, "rm", "-rf", sets->list[i].tag, NULL);
        if (r < 0)
            first = first < 0 ? first : r;
        else if (backup->told)
            json_append_name(backup->told, "removed", sets->list[i].tag);
        else if (!backup->is_quiet)
            printf("removed %s\n", sets->list[i].tag);
    }
    return first;
}

/* ---- one backup ---- */

static int run_copy(const struct backup *backup)
{
    AUTO(sets_release) struct sets sets = {0};
    int r = list_sets(backup, &sets);

    if (r == 0 && sets.count > 0)
        r = check_same_store(backup, &sets.list[0]);
    for (size_t i = 0; r == 0 && i < sets.count; i++)
        if (strcmp(sets.list[i].tag, backup->tag) == 0)
            r = err_new(-EEXIST, "'%s' has a set '%s' already", backup->destination, backup->tag);
    if (r == 0)
        r = copy(backup, &sets, NULL);
    if (r == 0)
        r = copy_again(backup);
    if (r == 0 && backup->verifies)
        r = verify(backup, &sets);
    if (r == 0)
        r = run_in_destination(backup, "mv", "-T", INCOMPLETE, backup->tag);
    return r;
}

static int run_rotation(const struct backup *backup)
{
    AUTO(sets_release) struct sets sets = {0};
    int r = list_sets(backup, &sets);

    if (r < 0)
        return r;
    move_own_to_front(backup, &sets);
    return rotate(backup, &sets);
}

/* The tag that was made for the copy goes, whatever became of it: what was copied of it is of use
 * to the next one too. */
static void let_go(const struct backup *backup)
{
    int r = backup->is_held ? snapshot_release(backup->path, backup->tag, backup->hold) : 0;

    if (r >= 0 && backup->is_own_tag)
        r = snapshot_remove(backup->path, backup->tag);
    if (r < 0)
        complain_of(r, "let go of snapshot '%s'", backup->tag);
}

/* Whether a backup that is no more has left this; 1: its tag too. */
static int is_left_over(const char *hold)
{
    char again[HOLD_MAX];
    const char *kind = strstr(hold, HOLD_OWN);
    int pid;

    if (sscanf(hold, "backup-%d", &pid) != 1 || pid <= 0)
        return -1;
    snprintf(again, sizeof(again), HOLD_FORMAT, pid, kind ? HOLD_OWN : "");
    if (strcmp(again, hold) != 0)
        return -1;
    if (pid != getpid() && (kill(pid, 0) == 0 || errno != ESRCH))
        return -1;
    return kind != NULL;
}

static void let_go_of_left_overs(const char *path)
{
    json_t *snapshots = NULL, *one, *name;
    size_t i, j;

    if (control_ask(path, "snapshots", &snapshots) < 0)
        return; /* what comes next fails too, and says why */
    json_array_foreach(snapshots, i, one)
    {
        json_array_foreach(json_object_get(one, "holds"), j, name)
        {
            struct backup left = {.path = path, .is_held = true};
            int is_own = is_left_over(json_string_value(name));

            if (is_own < 0)
                continue;
            left.is_own_tag = is_own;
            snprintf(
                left.tag, sizeof(left.tag), "%s", json_string_value(json_object_get(one, "tag")));
            snprintf(left.hold, sizeof(left.hold), "%s", json_string_value(name));
            let_go(&left);
        }
    }
    json_decref(snapshots);
}

/* A copy in the tree would be copied by the next one; one in the store's folder dies with it. */
static int check_destination(const struct backup *backup)
{
    struct mount mount = {0};
    int r;

    if (host_end(backup->destination))
        return 0;
    r = mount_of(backup->path, &mount);
    if (r >= 0)
        r = folder_is_within(backup->destination, mount.mountpoint);
    if (r == 0)
        r = folder_is_within(backup->destination, mount.source);
    if (r > 0)
        r = err_new(-EINVAL, "it lies in what is to be backed up");
    mount_release(&mount);
    return r;
}

/* Whatever happens from here on, signals too, the tag is let go of. */
static int make_copy(struct backup *backup)
{
    int r;

    program_take_signals();
    r = backup->is_own_tag ? snapshot_make(backup->path, backup->tag) : 0;
    if (r < 0)
        return r;
    r = snapshot_hold(backup->path, backup->tag, backup->hold);
    backup->is_held = r >= 0;
    if (r >= 0)
        r = snapshot_await(backup->path, backup->tag);
    if (r >= 0)
        r = run_copy(backup);
    let_go(backup);
    return r;
}

static int run(struct backup *backup)
{
    int r = snapshot_path(backup->path, backup->tag, &backup->folder);
    int code = EXIT_DONE;

    if (r >= 0)
        r = check_destination(backup);
    if (r >= 0) {
        let_go_of_left_overs(backup->path);
        r = make_copy(backup);
    }
    if (r == -EINTR)
        return complain(EXIT_PART,
            "backup to '%s': interrupted; the next one goes on from what is copied",
            backup->destination);
    if (r < 0)
        return complain_of(r, "backup to '%s'", backup->destination);
    backup->is_made = true;
    if (!backup->is_quiet && !backup->told)
        printf("%s/%s\n", backup->destination, backup->tag);
    if (!retention_is_empty(&backup->retention)) {
        r = run_rotation(backup);
        if (r < 0)
            code = complain(EXIT_PART, "the backup is made, but old ones stay: %s", err_text(r));
    }
    return code;
}

static int parse(int argc, char **argv, struct backup *to)
{
    struct option long_options[RETENTION_RULES + 5] = {{"verify", no_argument, NULL, 'v'},
        {"tag", required_argument, NULL, 't'}, {"progress", no_argument, NULL, 'p'},
        {"json", no_argument, NULL, 'j'}};
    const char *tag = NULL;
    bool as_json = false;
    int option;

    for (int rule = 0; rule < RETENTION_RULES; rule++)
        long_options[rule + 4] = (struct option){
            retention_option((enum retention_rule)rule), required_argument, NULL, 256 + rule};
    to->shows_progress = isatty(STDERR_FILENO);
    while ((option = getopt_long(argc, argv, "q", long_options, NULL)) != -1) {
        if (option == 'v')
            to->verifies = true;
        else if (option == 'j')
            as_json = true;
        else if (option == 'p')
            to->shows_progress = true;
        else if (option == 'q')
            to->is_quiet = true, to->shows_progress = false;
        else if (option == 't')
            tag = optarg;
        else if (option < 256)
            return complain_usage("backup");
        else if (!parse_count(optarg, &to->retention.counts[option - 256]))
            return complain(EXIT_USAGE, "--%s %s: want a number",
                retention_option((enum retention_rule)(option - 256)), optarg);
    }
    if (optind + 2 != argc)
        return complain_usage("backup");
    to->path = argv[optind];
    to->destination = argv[optind + 1];
    to->is_own_tag = !tag;
    snprintf(to->hold, sizeof(to->hold), HOLD_FORMAT, (int)getpid(), tag ? "" : HOLD_OWN);
    if (!tag)
        snapshot_tag_of_now(to->tag);
    else if (snapshot_tag_is_valid(tag))
        strcpy(to->tag, tag);
    else
        return complain(EXIT_USAGE, "'%s' is not a tag", tag);
    if (as_json)
        to->told = json_pack("{s:o, s:s, s:[]}", "destination", json_of_name(to->destination),
            "tag", to->tag, "removed");
    return EXIT_DONE;
}

int command_backup(int argc, char **argv)
{
    struct backup backup = {0};
    int code = parse(argc, argv, &backup);

    if (code == EXIT_DONE)
        code = run(&backup);
    if (backup.told && backup.is_made)
        code = print_json(json_incref(backup.told), code);
    json_decref(backup.told);
    free(backup.folder);
    return code;
}
