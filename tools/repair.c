/*
 * sstfs repair: a store that does not open, mended. Says first what it found and would do.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/error.h"
#include "engine/log.h"
#include "engine/repair.h"
#include "fs/fs.h"
#include "json_text.h"
#include "repair.h"
#include "tools.h"

struct plan {
    unsigned losses;
    struct repair_report *report; /* NULL: in words */
};

static void say(void *arg, bool is_loss, const char *text)
{
    struct plan *plan = arg;

    plan->losses += is_loss;
    if (plan->report)
        json_array_append_new(
            is_loss ? plan->report->losses : plan->report->found, json_of_name(text));
    else
        printf("%s%s\n", is_loss ? "LOSS: " : "", text);
}

/* Whether the owner wants it: an exit code, EXIT_DONE for yes. */
static int ask(const struct plan *plan, enum consent consent)
{
    if (consent == CONSENT_YES || (consent == CONSENT_IF_LOSSLESS && plan->losses == 0))
        return EXIT_DONE;
    if (consent != CONSENT_ASK)
        return EXIT_DAMAGE;
    if (plan->losses)
        printf("sstfs log dump shows what comes before and after\n");
    fflush(stdout);
    if (confirm(plan->losses ? "repair the store, with the losses above?" : "repair the store?"))
        return EXIT_DONE;
    return complain(EXIT_USAGE, "nothing is done; -y says yes");
}

static int repair_store(
    const char *store, struct repair *repair, struct plan *plan, enum consent consent)
{
    int code = ask(plan, consent);
    int r;

    if (code != EXIT_DONE)
        return code;
    r = repair_commit(repair);
    if (r < 0)
        return complain_of(r, "repair '%s'", store);
    if (plan->report)
        plan->report->is_repaired = true;
    else
        printf("'%s' is repaired; what was in the way is in its folder 'lost'; sstfs check proves "
               "what "
               "it holds\n",
            store);
    return EXIT_DONE;
}

int repair_run(const char *store, bool manifest, enum consent consent, struct repair_report *report,
    bool *ret_was_good)
{
    struct repair *repair = NULL;
    struct plan plan = {.report = report};
    struct env *env = NULL;
    int r = env_posix_new(store, &env);
    int code = EXIT_DONE;

    if (r >= 0 && manifest)
        r = repair_manifest_begin(env, fs_tables, FS_TABLE_COUNT, say, &plan, &repair);
    else if (r >= 0)
        r = repair_log_begin(env, fs_tables, FS_TABLE_COUNT, say, &plan, &repair);
    if (r == -EBUSY)
        code = complain(EXIT_IN_USE, "'%s' is mounted: %s", store, err_text(r));
    else if (r < 0)
        code = complain_of(r, "repair '%s'", store);
    else if (r > 0)
        code = repair_store(store, repair, &plan, consent);
    *ret_was_good = r == 0;
    repair_discard(repair);
    env_free(env);
    return code;
}

static json_t *document_of(
    const char *store, bool manifest, const struct repair_report *report, bool was_good)
{
    return json_pack("{s:o, s:s, s:b, s:b, s:O, s:O}", "store", json_of_name(store), "part",
        manifest ? "manifest" : "log", "good", was_good, "repaired", report->is_repaired, "found",
        report->found, "losses", report->losses);
}

static int run(const char *store, bool manifest, enum consent consent)
{
    bool was_good;
    int code = repair_run(store, manifest, consent, NULL, &was_good);

    if (was_good)
        printf("the %s of '%s' is good: nothing to repair\n", manifest ? "manifest" : "log", store);
    return code;
}

static int run_json(const char *store, bool manifest, enum consent consent)
{
    struct repair_report report = {.found = json_array(), .losses = json_array()};
    bool was_good;
    int code = repair_run(store, manifest, consent, &report, &was_good);

    if (code == EXIT_DONE || code == EXIT_DAMAGE)
        code = print_json(document_of(store, manifest, &report, was_good), code);
    json_decref(report.found);
    json_decref(report.losses);
    return code;
}

int command_repair(int argc, char **argv)
{
    static const struct option long_options[] = {{"manifest", no_argument, NULL, 'm'},
        {"log", no_argument, NULL, 'l'}, {"yes", no_argument, NULL, 'y'},
        {"dry-run", no_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'}, {0}};
    bool manifest = false, log = false, as_json = false;
    enum consent consent = CONSENT_ASK;
    int option, code;

    while ((option = getopt_long(argc, argv, "yn", long_options, NULL)) != -1) {
        if (option == '?')
            return complain_usage(argv[0]);
        manifest |= option == 'm';
        log |= option == 'l';
        as_json |= option == 'j';
        if (option == 'y' || option == 'n')
            consent = option == 'y' ? CONSENT_YES : CONSENT_NO;
    }
    if (optind + 1 != argc || manifest == log)
        return complain_usage(argv[0]);
    if (as_json && consent == CONSENT_ASK)
        return complain(EXIT_USAGE, "--json asks nobody: add -y, or -n");
    code = folder_require_store(argv[optind]);
    if (code != EXIT_DONE)
        return code;
    log_set_level(LOG_LEVEL_WARNING);
    return as_json ? run_json(argv[optind], manifest, consent)
                   : run(argv[optind], manifest, consent);
}
