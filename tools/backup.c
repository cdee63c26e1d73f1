/*
 * sstfs backup MNT DEST: one more copy of the tree in DEST, which is a folder or HOST:PATH.
 *
 *   DEST/incomplete    what is being copied, or what an interrupted copy has left
 *   DEST/TAG           a complete set: a snapshot's folder; files that an older set has are links
 *   DEST/log           the log behind the sets, of a store that archives it: backup_log.h
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

#include "backup_log.h"
#include "control.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "json_text.h"
#include "mountinfo.h"
#include "retention.h"
#include "snapshots.h"
#include "tools.h"

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
    bool has_log;   /* was copied too */
    bool keeps_tag; /* in spite of is_own_tag, until the next backup: it keeps the log */
    bool verifies, is_quiet, shows_progress;
    json_t *told; /* what was made and removed, as one document at the end; NULL: in words */
    struct retention retention;
    char *folder;            /* .snapshots/TAG */
    struct backup_sets sets; /* in DEST: listed once, as that may be far away; then the one made */
};

/* The store's UUID in the snapshot.json of the tag. */
static int read_own_store(const struct backup *backup, char to[64])
{
    AUTO(freep) char *path = NULL;
    json_t *root;
    const char *uuid;
    int r = 0;

    if (asprintf(&path, "%s/snapshot.json", backup->folder) < 0)
        return -ENOMEM;
    root = json_load_file(path, 0, NULL);
    uuid = json_string_value(json_object_get(root, "store"));
    if (uuid)
        snprintf(to, 64, "%s", uuid);
    else
        r = err_new(-EUCLEAN, "'%s' says no store", path);
    json_decref(root);
    return r;
}

/* A folder that gathers the backups of two stores would be rotated as if they were one. */
static int check_same_store(const struct backup *backup)
{
    struct backup_set *newest = backup->sets.list;
    char ours[64] = "";
    int r;

    if (backup->sets.count == 0)
        return 0;
    r = destination_read_sets(backup->destination, newest, 1);
    if (r == 0)
        r = read_own_store(backup, ours);
    if (r == 0 && strcmp(newest->store, ours) != 0)
        r = err_new(
            -EBUSY, "'%s' has backups of another store, %s", backup->destination, newest->store);
    return r;
}

/* ---- copying ---- */

/* `how` NULL, or a further option. */
static int copy(const struct backup *backup, const char *how)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;

    rsync_begin(&words, "-a");
    words_add(&words, "--delete");
    words_add(&words, "--fsync");
    words_add(&words, "--chmod=u+w"); /* else who is not root cannot replace or rotate */
    if (how)
        words_add(&words, "%s", how);
    if (backup->shows_progress) {
        words_add(&words, "--info=progress2");
        words_add(&words, "--no-inc-recursive"); /* or the percentage is of what is known so far */
    }
    if (backup->sets.count > 0)
        words_add(&words, "--link-dest=../%s", backup->sets.list[0].tag);
    words_add(&words, "%s/", backup->folder);
    words_add(&words, "%s/" DESTINATION_INCOMPLETE "/", backup->destination);
    return rsync_run(&words, false, backup->shows_progress ? NULL : &output, "copy");
}

/* The files beside the SSTables have the same names in every set. Those of two sets may agree in
 * size and second, and then rsync takes them for equal: so these few are copied always. */
static int copy_again(const struct backup *backup)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;

    rsync_begin(&words, "-aI");
    words_add(&words, "--fsync");
    words_add(&words, "--chmod=u+w");
    words_add(&words, "--exclude=nb-*");
    words_add(&words, "%s/", backup->folder);
    words_add(&words, "%s/" DESTINATION_INCOMPLETE "/", backup->destination);
    return rsync_run(&words, false, &output, "copy");
}

/* Reads both sides: whatever rsync would still do is a difference. */
static int compare(const struct backup *backup)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;
    int r;

    rsync_begin(&words, "-rtnci");
    words_add(&words, "--delete");
    words_add(&words, "%s/", backup->folder);
    words_add(&words, "%s/" DESTINATION_INCOMPLETE "/", backup->destination);
    r = rsync_run(&words, false, &output, "verify");
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
static int verify(const struct backup *backup)
{
    int r = compare(backup);

    if (r != -EUCLEAN)
        return r;
    complain(EXIT_DONE, "%s; it is copied again", err_text(r));
    r = copy(backup, "--checksum");
    return r == 0 ? compare(backup) : r;
}

/* ---- changing DEST ---- */

static int rotate(const struct backup *backup)
{
    const struct backup_sets *sets = &backup->sets;
    AUTO(freep) time_t *times = calloc(sets->count + 1, sizeof(*times));
    AUTO(freep) bool *keep = calloc(sets->count + 1, sizeof(*keep));
    int first = 0;

    if (!times || !keep)
        return -ENOMEM;
    for (size_t i = 0; i < sets->count; i++)
        times[i] = sets->list[i].made;
    retention_choose(&backup->retention, times, sets->count, keep);
    for (size_t i = 0; i < sets->count; i++) {
        const char *names[1];
        int r;

        if (keep[i] || strcmp(sets->list[i].tag, backup->tag) == 0)
            continue;
        names[0] = sets->list[i].tag;
        r = destination_run(backup->destination, "rm", "-rf", names, 1, NULL);
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

/* The set just made is the newest, also where several are of one second. */
static int add_own_set(struct backup *backup)
{
    AUTO(freep) char *path = NULL;
    struct stat status;

    if (asprintf(&path, "%s/snapshot.json", backup->folder) < 0)
        return -ENOMEM;
    if (stat(path, &status) < 0)
        return err_new(-errno, "'%s': %s", path, strerror(errno));
    return backup_sets_add(&backup->sets, backup->tag, status.st_mtime);
}

static int run_copy(struct backup *backup)
{
    const char *const names[] = {DESTINATION_INCOMPLETE, backup->tag};
    int r = check_same_store(backup);

    if (r == 0 && backup_sets_has(&backup->sets, backup->tag))
        r = err_new(-EEXIST, "'%s' has a set '%s' already", backup->destination, backup->tag);
    if (r == 0)
        r = copy(backup, NULL);
    if (r == 0)
        r = copy_again(backup);
    if (r == 0 && backup->verifies)
        r = verify(backup);
    if (r == 0)
        r = destination_run(backup->destination, "mv", "-T", names, 2, NULL);
    backup->is_made = r == 0;
    return r == 0 ? add_own_set(backup) : r;
}

static int run_rotation(const struct backup *backup)
{
    int r = rotate(backup);

    if (r < 0 || (!backup->has_log && backup->sets.segment_count == 0))
        return r;
    return backup_log_rotate(backup->destination);
}

/* Of a store that archives its log: what DEST lacks of it. The tag stays for what comes next. */
static int run_log(struct backup *backup)
{
    struct backup_log log = {
        backup->path, backup->folder, backup->destination, &backup->sets, backup->verifies};
    int r = backup_log_copy(&log);

    backup->has_log = r > 0;
    if (r < 0 || !backup->is_own_tag)
        return r;
    if (r > 0) {
        r = snapshot_hold(backup->path, backup->tag, BACKUP_LOG_HOLD);
        if (r < 0)
            return r;
        backup->keeps_tag = true;
    }
    backup_log_let_go(&log, backup->tag);
    return 0;
}

/* The tag that was made for the copy goes, whatever became of it: what was copied of it is of use
 * to the next one too. */
static void let_go(const struct backup *backup)
{
    int r = backup->is_held ? snapshot_release(backup->path, backup->tag, backup->hold) : 0;

    if (r >= 0 && backup->is_own_tag && !backup->keeps_tag)
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
            left.is_own_tag = is_own && !backup_log_keeps(one);
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

    if (!destination_is_here(backup->destination))
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

/* Another backup may have made one in this second, and may be done with it: then it is a set. */
#define TAGS_OF_NOW 100

static int make_own_tag(struct backup *backup)
{
    char now[SNAPSHOT_NOW_MAX];
    int r = -EEXIST;

    snapshot_tag_of_now(now);
    for (int i = 1; r == -EEXIST && i <= TAGS_OF_NOW; i++) {
        if (i == 1)
            snprintf(backup->tag, sizeof(backup->tag), "%s", now);
        else
            snprintf(backup->tag, sizeof(backup->tag), "%s-%d", now, i);
        if (!backup_sets_has(&backup->sets, backup->tag))
            r = snapshot_make(backup->path, backup->tag);
    }
    return r;
}

/* Whatever happens from here on, signals too, the tag is let go of. */
static int make_copy(struct backup *backup)
{
    int r;

    program_take_signals();
    r = destination_list(backup->destination, &backup->sets);
    if (r >= 0 && backup->is_own_tag)
        r = make_own_tag(backup);
    if (r >= 0)
        r = snapshot_path(backup->path, backup->tag, &backup->folder);
    if (r < 0)
        return r;
    r = snapshot_hold(backup->path, backup->tag, backup->hold);
    backup->is_held = r >= 0;
    if (r >= 0)
        r = snapshot_await(backup->path, backup->tag);
    if (r >= 0)
        r = run_copy(backup);
    if (r >= 0)
        r = run_log(backup);
    let_go(backup);
    return r;
}

static int complain_of_backup(const struct backup *backup, int r)
{
    if (r == -EINTR)
        return complain(EXIT_PART,
            "backup to '%s': interrupted; the next one goes on from what is copied",
            backup->destination);
    if (backup->is_made)
        return complain(EXIT_PART, "the backup is made, but not that of its log: %s", err_text(r));
    return complain_of(r, "backup to '%s'", backup->destination);
}

static int run(struct backup *backup)
{
    int r = check_destination(backup);

    if (r >= 0) {
        let_go_of_left_overs(backup->path);
        r = make_copy(backup);
    }
    if (backup->is_made && !backup->is_quiet && !backup->told)
        printf("%s/%s\n", backup->destination, backup->tag);
    if (r < 0)
        return complain_of_backup(backup, r);
    if (retention_is_empty(&backup->retention))
        return EXIT_DONE;
    r = run_rotation(backup);
    return r < 0 ? complain(EXIT_PART, "the backup is made, but old ones stay: %s", err_text(r))
                 : EXIT_DONE;
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
    if (tag && !snapshot_tag_is_valid(tag))
        return complain(EXIT_USAGE, "'%s' is not a tag", tag);
    strcpy(to->tag, tag ? tag : "");
    if (as_json)
        to->told =
            json_pack("{s:o, s:[]}", "destination", json_of_name(to->destination), "removed");
    return EXIT_DONE;
}

int command_backup(int argc, char **argv)
{
    struct backup backup = {0};
    int code = parse(argc, argv, &backup);

    if (code == EXIT_DONE)
        code = run(&backup);
    if (backup.told && backup.is_made) {
        json_object_set_new(backup.told, "tag", json_string(backup.tag));
        json_object_set_new(backup.told, "log", json_boolean(backup.has_log));
        code = print_json(json_incref(backup.told), code);
    }
    json_decref(backup.told);
    backup_sets_release(&backup.sets);
    free(backup.folder);
    return code;
}
