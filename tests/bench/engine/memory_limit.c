#include "memory_limit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct hierarchy {
    const char *folder;
    const char *limit; /* the file that takes it */
};
static const struct hierarchy hierarchies[] = {
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, {"/sys/fs/cgroup", "memory.max"}};

#define PATH_BYTES 128

static void name_group(const struct hierarchy *hierarchy, pid_t pid, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/bench-engine-%d", hierarchy->folder, (int)pid);
}

static bool write_number(const char *group, const char *name, uint64_t number)
{
    char path[2 * PATH_BYTES];
    FILE *file;
    bool written;

    snprintf(path, sizeof(path), "%s/%s", group, name);
    file = fopen(path, "we");
    if (!file)
        return false;
    written = fprintf(file, "%lu", number) > 0;
    return fclose(file) == 0 && written;
}

bool memory_limit_enter(uint64_t bytes)
{
    for (size_t i = 0; i < ARRAY_COUNT(hierarchies); i++) {
        char group[PATH_BYTES];

        name_group(&hierarchies[i], getpid(), group);
        if (mkdir(group, 0700) < 0)
            continue;
        if (write_number(group, hierarchies[i].limit, bytes) &&
            write_number(group, "cgroup.procs", (uint64_t)getpid()))
            return true;
        (void)rmdir(group); /* there is nobody in it */
    }
    return false;
}

void memory_limit_remove(pid_t pid)
{
    for (size_t i = 0; i < ARRAY_COUNT(hierarchies); i++) {
        char group[PATH_BYTES];

        name_group(&hierarchies[i], pid, group);
        (void)rmdir(group); /* most runs have none */
    }
}
