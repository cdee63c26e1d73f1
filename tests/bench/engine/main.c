/*
 * bench-engine FOLDER [options]: runs loads on engines in turn, each run in a process of its own,
 * and prints medians beside each other. README.md tells what is compared, and how.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.h"
#include "memory_limit.h"
#include "report.h"

#define FOLDER_BYTES_MAX 4000

static const struct bench_engine *const all_engines[] = {
    &engine_sstfs,
    &engine_rocksdb,
    &engine_leveldb,
    &engine_wiredtiger,
};

struct options {
    const char *program;
    const char *folder;
    const char *loads;   /* names with commas; NULL: all */
    const char *engines; /* likewise */
    unsigned runs;
    double scale;
    uint64_t memory_mib;
    const char *run_load; /* one run, on the first of `engines`: what the program is in a child */
};

void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fprintf(stderr, "bench-engine: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

/* ---- options ---- */

static void print_usage(FILE *to)
{
    fprintf(to, "usage: bench-engine FOLDER [--loads LOAD,...] [--engines ENGINE,...] [--runs 3]\n"
                "                    [--scale 1] [--memory 1024 (MiB)]\n\nloads:\n");
    for (unsigned i = 0; i < load_count; i++)
        fprintf(to, "  %-12s %s%s\n", loads[i].name, loads[i].title,
            loads[i].ours_alone ? " (sstfs alone)" : "");
    fprintf(to, "engines:");
    for (unsigned i = 0; i < ARRAY_COUNT(all_engines); i++)
        fprintf(to, " %s", all_engines[i]->name);
    fprintf(to, "\n");
}

static double number_of(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || value < least || value > most)
        die("'%s': want a number from %g to %g", text, least, most);
    return value;
}

static struct options parse(int count, char **arguments)
{
    struct options options = {.program = arguments[0], .runs = 3, .scale = 1, .memory_mib = 1024};

    for (int i = 1; i < count; i++) {
        const char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : NULL;

        if (strcmp(name, "--help") == 0) {
            print_usage(stdout);
            exit(0);
        }
        if (name[0] != '-') {
            options.folder = name;
            continue;
        }
        if (!value)
            die("%s: want a value (--help tells)", name);
        i++;
        if (strcmp(name, "--loads") == 0)
            options.loads = value;
        else if (strcmp(name, "--engines") == 0)
            options.engines = value;
        else if (strcmp(name, "--runs") == 0)
            options.runs = (unsigned)number_of(value, 1, RUNS_MAX);
        else if (strcmp(name, "--scale") == 0)
            options.scale = number_of(value, 0.0001, 100);
        else if (strcmp(name, "--memory") == 0)
            options.memory_mib = (uint64_t)number_of(value, 64, 1 << 20);
        else if (strcmp(name, "--run") == 0)
            options.run_load = value;
        else
            die("%s: no such option (--help tells)", name);
    }
    if (!options.folder) {
        print_usage(stderr);
        exit(2);
    }
    return options;
}

/* Whether `name` is in `list`, or there is no list. */
static bool is_chosen(const char *list, const char *name)
{
    size_t size = strlen(name);

    if (!list)
        return true;
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0'))
            return true;
    return false;
}

/* ---- one run, in this process ---- */

static int run_here(const struct options *options)
{
    struct run run = {
        .folder = options->folder,
        .settings = {.memory_bytes = options->memory_mib << 20, .content = CONTENT_ROWS},
        .scale = options->scale,
    };

    for (unsigned i = 0; i < ARRAY_COUNT(all_engines); i++)
        if (is_chosen(options->engines, all_engines[i]->name))
            run.engine = all_engines[i];
    for (unsigned i = 0; run.engine && i < load_count; i++)
        if (strcmp(loads[i].name, options->run_load) == 0) {
            loads[i].execute(&run);
            return 0;
        }
    die("'%s': no such load, or no such engine", options->run_load);
}

/* ---- all runs, each in a process of its own ---- */

static void exec_run(const struct options *options, const struct load *load,
    const struct bench_engine *engine, const char *folder, int output)
{
    char scale[32], memory[32];

    snprintf(scale, sizeof(scale), "%.9g", options->scale);
    snprintf(memory, sizeof(memory), "%lu", options->memory_mib);
    if (dup2(output, STDOUT_FILENO) >= 0)
        execl("/proc/self/exe", options->program, folder, "--run", load->name, "--engines",
            engine->name, "--scale", scale, "--memory", memory, (char *)NULL);
    die("exec: %m");
}

/* False if the run failed; it has said why. */
static bool run_in_process(const struct options *options, const struct load *load,
    const struct bench_engine *engine, unsigned engine_number, struct report *report)
{
    char folder[FOLDER_BYTES_MAX + 32], line[256];
    int output[2], status;
    FILE *lines;
    pid_t pid;

    snprintf(folder, sizeof(folder), "%s/%s", options->folder, engine->name);
    folder_make_empty(folder);
    if (pipe(output) < 0)
        die("pipe: %m");
    pid = fork();
    if (pid < 0)
        die("fork: %m");
    if (pid == 0) {
        close(output[0]);
        exec_run(options, load, engine, folder, output[1]);
    }
    close(output[1]);
    lines = fdopen(output[0], "r");
    while (lines && fgets(line, sizeof(line), lines))
        if (!report_add_line(report, engine_number, line))
            fprintf(stderr, "%s %s: %s", load->name, engine->name, line);
    if (!lines || fclose(lines) != 0 || waitpid(pid, &status, 0) < 0)
        die("%s %s: %m", load->name, engine->name);
    memory_limit_remove(pid);
    folder_remove(folder);
    if (status != 0)
        fprintf(stderr, "bench-engine: %s on %s failed\n", load->name, engine->name);
    return status == 0;
}

static void check_names(const char *list)
{
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        bool known = false;

        for (unsigned i = 0; i < load_count; i++)
            known |= strncmp(at, loads[i].name, strcspn(at, ",")) == 0 &&
                     loads[i].name[strcspn(at, ",")] == '\0';
        for (unsigned i = 0; i < ARRAY_COUNT(all_engines); i++)
            known |= strncmp(at, all_engines[i]->name, strcspn(at, ",")) == 0 &&
                     all_engines[i]->name[strcspn(at, ",")] == '\0';
        if (!known)
            die("'%s': no such load or engine (--help tells)", at);
    }
}

int main(int count, char **arguments)
{
    struct options options = parse(count, arguments);
    const struct bench_engine *engines[ENGINES_MAX];
    struct settings settings = {.memory_bytes = options.memory_mib << 20};
    unsigned engine_count = 0, missed = 0, failed = 0;

    if (strlen(options.folder) > FOLDER_BYTES_MAX)
        die("%s: too long a path", options.folder);
    if (options.run_load)
        return run_here(&options);
    check_names(options.loads);
    check_names(options.engines);
    for (unsigned i = 0; i < ARRAY_COUNT(all_engines); i++)
        if (is_chosen(options.engines, all_engines[i]->name))
            engines[engine_count++] = all_engines[i];

    for (unsigned i = 0; i < load_count; i++) {
        struct report *report;

        if (!is_chosen(options.loads, loads[i].name))
            continue;
        report = report_new(&loads[i]);
        for (unsigned run = 0; run < options.runs; run++)
            for (unsigned j = 0; j < engine_count; j++)
                if (!loads[i].ours_alone || engines[j] == &engine_sstfs)
                    failed += !run_in_process(&options, &loads[i], engines[j], j, report);
        missed += report_print(report, engines, loads[i].ours_alone ? 1 : engine_count, &settings);
        report_free(report);
    }
    printf("\nbars missed: %u, runs failed: %u\n", missed, failed);
    return failed ? 1 : 0;
}
