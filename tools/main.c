/*
 * The one binary: sstfs COMMAND …, and by its links' names mount.sstfs, mount.fuse.sstfs and
 * fsck.sstfs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "tools.h"
#include "version.h"

struct command {
    const char *name; /* first: nearest_name() */
    const char *arguments;
    const char *purpose;
    int (*run)(int argc, char **argv);
};

static int command_help(int argc, char **argv);
static int command_version(int argc, char **argv);

static const struct command commands[] = {
    {"mount", "[-f] [-o OPTIONS] [--all-sstables] STORE MNT",
        "mount a store (made if missing), or with -o ro a snapshot; with --all-sstables too, one "
        "of Cassandra's",
        command_mount},
    {"umount", "[-l] MNT", "unmount, and wait until the store is closed", command_umount},
    {"init", "[--from FOLDER] STORE", "make a store, empty or from a snapshot", command_init},
    {"snapshot",
        "create [--json] [--expire 7d] [--hold NAME] MNT [TAG] | list [--json] [-H] [-p] MNT |\n"
        "      delete [-n] [--json] MNT TAG… | rename [--json] MNT TAG NEW |\n"
        "      hold [--json] MNT TAG NAME | release [--json] MNT TAG NAME |\n"
        "      holders [--json] MNT TAG | expire [--json] MNT TAG 7d|never |\n"
        "      prune [-n] [-y] [--json] --keep-last|hourly|daily|weekly|monthly N … MNT",
        "snapshots of the whole tree", command_snapshot},
    {"backup",
        "[-q] [--json] [--progress] [--verify] [--tag TAG] "
        "[--keep-last|hourly|daily|weekly|monthly N …] "
        "MNT DEST",
        "one more copy of the tree in DEST, a folder or HOST:PATH; moves only what is new",
        command_backup},
    {"diff", "[--json] MNT TAG [TAG] [PATH]",
        "what changed between two snapshots, or until now; at PATH alone", command_diff},
    {"restore",
        "[-y] [--json] [--to DIR] MNT TAG PATH… |\n      --at TIME|latest [--json] [--log "
        "FOLDER|STORE] SNAPSHOT "
        "STORE",
        "files and folders as they were; a new store as it was at any moment after a snapshot",
        command_restore},
    {"rollback", "[-y] [--json] STORE TAG", "take an unmounted store back to a snapshot",
        command_rollback},
    {"scrub", "[--json] [--older-than 7d] [--repair-from FOLDER] MNT|FOLDER",
        "read and prove all SSTables at leisure; heal damaged ones from a copy", command_scrub},
    {"check", "[-n|-p|-y] [--json] STORE",
        "prove an unmounted store from end to end; -p repairs what loses nothing, -y all",
        command_check},
    {"repair", "--manifest|--log [-n] [-y] [--json] STORE",
        "mend a store that does not open; says first what it would do, and what is lost",
        command_repair},
    {"verify", "[--quick] [--all-sstables] [--json] FOLDER",
        "prove a snapshot, a copy of one, or an unmounted store; --quick: files and sizes only",
        command_verify},
    {"ls", "[--all-sstables] [--json] FOLDER[:PATH]", "list a directory of what nobody has mounted",
        command_ls},
    {"cat", "[--all-sstables] FOLDER:PATH", "a file of it", command_cat},
    {"tar", "[--all-sstables] FOLDER[:PATH]", "all of it, or a part, as an archive", command_tar},
    {"space", "[--json] MNT|STORE", "who holds the bytes that a store takes", command_space},
    {"dump", "[--table T] SSTABLE|FOLDER",
        "the rows of SSTables as JSON, as sstabledump prints them", command_dump},
    {"schema", "", "the tables as CQL, for a Cassandra server that is to take the SSTables",
        command_schema},
    {"log", "dump STORE|FOLDER|FILE",
        "the commit log's mutations as JSON; of an unmounted store, of a folder of its segments "
        "(an "
        "archive, say), or one of them",
        command_log},
    {"flush", "MNT", "write what is in memory to SSTables", command_flush},
    {"compact", "MNT", "merge the SSTables of each table", command_compact},
    {"stats", "[--json|--metrics] MNT", "counters and latencies of a running mount", command_stats},
    {"help", "[COMMAND]", "this text", command_help},
    {"version", "", "the program's version", command_version},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_all(FILE *to)
{
    fprintf(to, "usage: sstfs COMMAND …\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        fprintf(to, "  %s %s\n      %s\n", commands[i].name, commands[i].arguments,
            commands[i].purpose);
    fprintf(to,
        "\nSTORE: the folder of a store. MNT: a mountpoint or any path in it. FOLDER: a "
        "store, a snapshot\nor a copy of one; with --all-sstables a copy of a snapshot "
        "that Cassandra "
        "made. SSTABLE: any of\nits files.\n\n"
        "mount options: ro, memory=SIZE (a quarter of the machine's, at most 1G), "
        "sync=periodic|group|batch,\nsync_period=SECONDS (5), archive=on|off (off), relatime, "
        "allow_other,\nsuid, dev, noexec, sync, dirsync, log=FILE, "
        "snapdir=hidden|visible (hidden),\nsnapgid=GROUP (the mounter's)\n\n"
        "exit codes: 0 done, 1 damage found, 2 usage, 3 done in part, 4 not found, 5 busy, "
        "6 no space,\n7 permission, 8 not a store, 9 in use by another process, 10 I/O "
        "error\n");
}

static int unknown_command(const char *name)
{
    const char *nearest = nearest_name(name, commands, ARRAY_COUNT(commands), sizeof(commands[0]));

    if (nearest)
        return complain(EXIT_USAGE, "there is no command '%s'; did you mean '%s'?", name, nearest);
    return complain(EXIT_USAGE, "there is no command '%s'; see sstfs help", name);
}

static int command_help(int argc, char **argv)
{
    const struct command *command;

    if (argc < 2) {
        print_all(stdout);
        return EXIT_DONE;
    }
    command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    printf("usage: sstfs %s%s%s\n%s\n", command->name, *command->arguments ? " " : "",
        command->arguments, command->purpose);
    return EXIT_DONE;
}

static int command_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    printf("sstfs %s\n", SSTFS_VERSION);
    return EXIT_DONE;
}

int complain_usage(const char *name)
{
    const struct command *command = find_command(name);

    fprintf(stderr, "usage: sstfs %s %s\n", name, command ? command->arguments : "");
    return EXIT_USAGE;
}

/* Lost output is a failure of the command, unless it has told a worse one. */
static int finish(int code)
{
    int r = code == EXIT_DONE || code == EXIT_DAMAGE ? flush_output() : 0;

    if (r < 0)
        complain(EXIT_DONE, "%s", err_text(r));
    return r < 0 && code == EXIT_DONE ? (int)exit_code_of(r) : code;
}

static int run(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *program = slash ? slash + 1 : argv[0];
    const struct command *command;

    if (strncmp(program, "mount.", 6) == 0)
        return command_mount_helper(argc, argv);
    if (strncmp(program, "fsck.", 5) == 0)
        return command_fsck(argc, argv);
    if (argc < 2) {
        print_all(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(1, argv);
    if (strcmp(argv[1], "--version") == 0)
        return command_version(1, argv);
    command = find_command(argv[1]);
    if (!command)
        return unknown_command(argv[1]);
    if (argc == 3 && strcmp(argv[2], "--help") == 0)
        return command_help(2, argv);
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    return finish(run(argc, argv));
}
