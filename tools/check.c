/*
 * sstfs check, and fsck.sstfs for fsck(8): a store that nobody has mounted, proved from end to end.
 *
 *   1. manifest and log, as a mount would read them
 *   2. each SSTable, and the tree: names, link counts, parents, blocks of no file (verify.c)
 *   3. snapshots: each opens, and its SSTables that are not live, too
 *
 * Nothing is written, unless it is to be repaired: what `sstfs repair` does. Of SSTables that are
 * damaged `sstfs scrub --repair-from` takes whole ones from a copy.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "engine/log.h"
#include "fs/fs.h"
#include "json_text.h"
#include "repair.h"
#include "tools.h"
#include "verify.h"

/* The log of a daemon that died is read into memory: it may be large. */
#define MEMORY_BYTES (2ull << 30)

/* Exit codes of fsck(8). */
enum fsck_code {
    FSCK_CLEAN = 0,
    FSCK_MENDED = 1,
    FSCK_DAMAGE = 4,
    FSCK_FAILED = 8,
    FSCK_USAGE = 16
};

struct check {
    const char *store;
    enum consent consent;
    bool is_quick; /* manifest and log only */
    bool was_mended;
    json_t *told; /* as one document at the end; NULL: as it comes */
    struct verify verify;
    uint64_t snapshots;
};

/* ---- manifest and log ---- */

static void begin(struct check *check)
{
    verify_release(&check->verify);
    check->verify = (struct verify){.folder = check->store,
        .told = check->told,
        .tables = "data/sstfs",
        .memory_bytes = MEMORY_BYTES};
}

/* The manifest, or when that is good the log. */
static int mend(struct check *check)
{
    bool was_good = false;
    int code = repair_run(check->store, true, check->consent, NULL, &was_good);

    if (code == EXIT_DONE && was_good)
        code = repair_run(check->store, false, check->consent, NULL, &was_good);
    check->was_mended |= code == EXIT_DONE && !was_good;
    return code;
}

/* A manifest that is rebuilt may have a log with a hole: so each in turn. */
static int open_store(struct check *check)
{
    int r;

    for (unsigned tries = 0;; tries++) {
        begin(check);
        r = verify_open(&check->verify);
        if (r == -EBUSY)
            return complain(EXIT_IN_USE, "'%s' is mounted: %s", check->store, err_text(r));
        if (r >= 0)
            return EXIT_DONE;
        if (!err_is_damage(r))
            return complain_of(r, "open '%s'", check->store);
        verify_finding_of(&check->verify, r, "it does not open");
        verify_release(&check->verify);
        if (check->consent == CONSENT_NO || tries == 2)
            return EXIT_DAMAGE;
        r = mend(check);
        if (r != EXIT_DONE)
            return r;
    }
}

/* ---- snapshots ---- */

static int check_snapshot(struct check *check, const char *tag)
{
    AUTO(freep) char *folder = NULL;
    AUTO(freep) char *what = NULL;
    struct verify verify = {.tables = "sstfs", .seen = &check->verify, .told = check->told};
    int r;

    if (asprintf(&folder, "%s/snapshots/%s", check->store, tag) < 0 ||
        asprintf(&what, "snapshot '%s'", tag) < 0)
        return -ENOMEM;
    verify.folder = folder;
    verify.what = what;
    r = verify_open(&verify);
    if (r >= 0)
        r = verify_sstables(&verify);
    /* One without its snapshot.json is no snapshot any more. */
    if (err_is_damage(r) || r == -EIO || r == -ENOTDIR) {
        verify_finding_of(&verify, r, "it does not open");
        r = 0;
    }
    check->verify.findings += verify.findings;
    if (r >= 0)
        r = verify_note_seen(&check->verify, &verify);
    verify_release(&verify);
    check->snapshots++;
    return r;
}

struct tags {
    char **names;
    size_t count;
};

static int note_tag(void *arg, const struct snapshot_info *info)
{
    struct tags *tags = arg;
    char **grown;

    if (!info->complete)
        return 0;
    grown = reallocarray(tags->names, tags->count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    tags->names = grown;
    grown[tags->count] = strdup(info->tag);
    return grown[tags->count++] ? 0 : -ENOMEM;
}

static int check_snapshots(struct check *check)
{
    struct tags tags = {0};
    int r = engine_snapshot_list(check->verify.engine, note_tag, &tags);

    for (size_t i = 0; i < tags.count; i++) {
        if (r >= 0)
            r = check_snapshot(check, tags.names[i]);
        free(tags.names[i]);
    }
    free(tags.names);
    return r;
}

/* ---- all of it ---- */

static void tell(const struct check *check)
{
    const struct verify *verify = &check->verify;

    if (check->told) {
        json_object_update_new(check->told,
            json_pack("{s:I, s:I, s:I, s:I}", "sstables", (json_int_t)verify->known_count, "files",
                (json_int_t)verify->files, "directories", (json_int_t)verify->directories,
                "snapshots", (json_int_t)check->snapshots));
        return;
    }
    printf("%s: ", check->store);
    if (!check->is_quick)
        printf("%zu SSTables, %llu files, %llu directories, %llu snapshots: ", verify->known_count,
            (unsigned long long)verify->files, (unsigned long long)verify->directories,
            (unsigned long long)check->snapshots);
    if (verify->findings > 0)
        printf("%llu findings\n", (unsigned long long)verify->findings);
    else
        printf(check->is_quick ? "manifest and log are good\n" : "no damage\n");
}

static int check_all(struct check *check)
{
    int code = open_store(check);
    int r = 0;

    if (code != EXIT_DONE)
        return code;
    if (!check->is_quick)
        r = verify_prove(&check->verify);
    if (r >= 0 && !check->is_quick)
        r = check_snapshots(check);
    if (r < 0)
        return complain_of(r, "check '%s'", check->store);
    r = verify_close(&check->verify);
    if (r < 0)
        return complain_of(r, "close '%s'", check->store);
    tell(check);
    return check->verify.findings > 0 ? EXIT_DAMAGE : EXIT_DONE;
}

static int check_store(struct check *check)
{
    int code = folder_require_store(check->store);

    if (code != EXIT_DONE)
        return code;
    log_set_level(LOG_LEVEL_WARNING);
    code = check_all(check);
    verify_release(&check->verify);
    return code;
}

int command_check(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    struct check check = {.consent = CONSENT_NO};
    bool as_json = false;
    int option, code;

    while ((option = getopt_long(argc, argv, "pyn", long_options, NULL)) != -1) {
        if (option == '?')
            return complain_usage(argv[0]);
        as_json |= option == 'j';
        if (option == 'j')
            continue;
        check.consent = option == 'y'   ? CONSENT_YES
                        : option == 'p' ? CONSENT_IF_LOSSLESS
                                        : CONSENT_NO;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    if (as_json && check.consent != CONSENT_NO)
        return complain(EXIT_USAGE, "--json is for looking: what -p and -y do is told in words");
    check.store = argv[optind];
    if (as_json)
        check.told = json_pack(
            "{s:o, s:[], s:[]}", "store", json_of_name(check.store), "findings", "strangers");
    code = check_store(&check);
    if (as_json && (code == EXIT_DONE || code == EXIT_DAMAGE))
        code = print_json(json_incref(check.told), code);
    json_decref(check.told);
    return code;
}

/* At boot (-a, -p) what a mount needs is looked at, and mended if nothing is lost by it; -f: all.
 */
int command_fsck(int argc, char **argv)
{
    struct check check = {.consent = CONSENT_ASK};
    bool at_boot = false, is_forced = false;
    int option, code;

    /* -C: progress, maybe to a descriptor; -T, -V, -v, -r, -t, -l, -M, -R: fsck(8)'s own. */
    while ((option = getopt(argc, argv, "apynfC::TVvrlMRt:")) != -1) {
        if (option == '?')
            return FSCK_USAGE;
        at_boot |= option == 'a' || option == 'p';
        is_forced |= option == 'f';
        if (option == 'a' || option == 'p')
            check.consent = CONSENT_IF_LOSSLESS;
        else if (option == 'y' || option == 'n')
            check.consent = option == 'y' ? CONSENT_YES : CONSENT_NO;
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: fsck.sstfs [-a|-p|-y|-n] [-f] STORE\n");
        return FSCK_USAGE;
    }
    check.store = argv[optind];
    check.is_quick = at_boot && !is_forced;
    code = check_store(&check);
    if (code == EXIT_DONE)
        return check.was_mended ? FSCK_MENDED : FSCK_CLEAN;
    if (code == EXIT_DAMAGE || code == EXIT_USAGE)
        return FSCK_DAMAGE | (check.was_mended ? FSCK_MENDED : 0);
    return FSCK_FAILED;
}
