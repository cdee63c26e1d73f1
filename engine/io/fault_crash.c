/*
 * The disk under the simulated files, and what a crash makes of it.
 *
 * Running out of memory here aborts: the simulator has no one to tell.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/assert.h"
#include "io/fault.h"

static uint64_t sectors_of(uint64_t bytes)
{
    return bytes / FAULT_SECTOR_BYTES + (bytes % FAULT_SECTOR_BYTES != 0);
}

static char *copy_name(const char *name)
{
    char *copy = name ? strdup(name) : NULL;

    ASSERT(!name || copy);
    return copy;
}

struct fault_disk *fault_disk_of(struct mem_inode *inode)
{
    if (!inode->disk)
        inode->disk = calloc(1, sizeof(struct fault_disk));
    ASSERT(inode->disk);
    return inode->disk;
}

/* ---- files ---- */

void fault_mark(struct mem_inode *inode, uint64_t from, uint64_t to)
{
    struct fault_disk *disk = fault_disk_of(inode);
    uint64_t end = sectors_of(to);

    if (from >= to)
        return;
    if (end > disk->sector_count) {
        uint64_t count = end > 2 * disk->sector_count ? end : 2 * disk->sector_count;

        disk->sectors = realloc(disk->sectors, count);
        ASSERT(disk->sectors);
        memset(disk->sectors + disk->sector_count, FAULT_SECTOR_CLEAN, count - disk->sector_count);
        disk->sector_count = count;
    }
    for (uint64_t i = from / FAULT_SECTOR_BYTES; i < end; i++)
        disk->sectors[i] = FAULT_SECTOR_DIRTY;
}

static void disk_resize(struct fault_disk *disk, uint64_t size)
{
    if (size > disk->size) {
        disk->data = realloc(disk->data, size);
        ASSERT(disk->data);
        memset(disk->data + disk->size, 0, size - disk->size);
    }
    disk->size = size;
}

/* What readers see of sector `i` to the disk, as far as the file on the disk goes. */
static void disk_take_sector(struct fault_disk *disk, const struct mem_inode *inode, uint64_t i)
{
    uint64_t from = i * FAULT_SECTOR_BYTES;
    uint64_t end = from + FAULT_SECTOR_BYTES;

    if (end > disk->size)
        end = disk->size;
    if (end > inode->size)
        end = inode->size;
    if (from < end)
        memcpy(disk->data + from, inode->data + from, end - from);
}

void fault_sync_file(struct mem_inode *inode)
{
    struct fault_disk *disk = fault_disk_of(inode);

    disk_resize(disk, inode->size);
    for (uint64_t i = 0; i < disk->sector_count; i++) {
        if (disk->sectors[i] != FAULT_SECTOR_DIRTY)
            continue;
        disk_take_sector(disk, inode, i);
        disk->sectors[i] = FAULT_SECTOR_CLEAN;
    }
}

bool fault_misdirect_file(struct mem_inode *inode)
{
    struct fault_disk *disk = fault_disk_of(inode);
    uint64_t whole = inode->size / FAULT_SECTOR_BYTES, dirty = 0, from, to;

    for (uint64_t i = 0; i < whole && i < disk->sector_count; i++)
        dirty += disk->sectors[i] == FAULT_SECTOR_DIRTY;
    if (dirty == 0 || whole < 2)
        return false;
    dirty = mem_random(inode->env) % dirty;
    for (from = 0; disk->sectors[from] != FAULT_SECTOR_DIRTY || dirty-- > 0;)
        from++;
    to = (from + 1 + mem_random(inode->env) % (whole - 1)) % whole;
    /* Its own place keeps what is there; all else goes where it belongs, the victim first. */
    disk->sectors[from] = FAULT_SECTOR_CLEAN;
    fault_sync_file(inode);
    memcpy(disk->data + to * FAULT_SECTOR_BYTES, inode->data + from * FAULT_SECTOR_BYTES,
        FAULT_SECTOR_BYTES);
    return true;
}

void fault_drop_file(struct mem_inode *inode)
{
    struct fault_disk *disk = fault_disk_of(inode);

    for (uint64_t i = 0; i < disk->sector_count; i++) {
        if (disk->sectors[i] != FAULT_SECTOR_DIRTY)
            continue;
        if ((i + 1) * FAULT_SECTOR_BYTES <= disk->size && mem_random(inode->env) % 2 == 0) {
            disk_take_sector(disk, inode, i);
            disk->sectors[i] = FAULT_SECTOR_CLEAN;
        } else {
            disk->sectors[i] = FAULT_SECTOR_DROPPED;
        }
    }
}

/* ---- directories ---- */

void fault_change_add(struct mem_inode *directory, uint64_t sequence, const char *remove,
    const char *set, struct mem_inode *inode, struct mem_inode *needs)
{
    struct fault_disk *disk = fault_disk_of(directory);

    if (disk->change_count == disk->change_capacity) {
        disk->change_capacity = disk->change_capacity ? 2 * disk->change_capacity : 8;
        disk->changes = realloc(disk->changes, disk->change_capacity * sizeof(struct fault_change));
        ASSERT(disk->changes);
    }
    disk->changes[disk->change_count++] = (struct fault_change){
        .sequence = sequence,
        .remove = copy_name(remove),
        .set = copy_name(set),
        .inode = inode ? mem_inode_ref(inode) : NULL,
        .needs = needs ? mem_inode_ref(needs) : NULL,
    };
}

static void change_release(struct fault_change *change)
{
    free(change->remove);
    free(change->set);
    if (change->inode)
        mem_inode_unref(change->inode);
    if (change->needs)
        mem_inode_unref(change->needs);
}

void fault_settle(struct mem_inode *directory, uint64_t sequence)
{
    struct fault_disk *disk = fault_disk_of(directory);

    while (disk->change_count > 0 && disk->changes[0].sequence <= sequence) {
        struct fault_change change = disk->changes[0];

        /* Taken out first: what it needs may in turn need this one. */
        memmove(&disk->changes[0], &disk->changes[1], --disk->change_count * sizeof(change));
        if (change.needs)
            fault_settle(change.needs, change.sequence);
        if (change.remove)
            mem_names_remove(&disk->names, change.remove);
        if (change.set) {
            int r = mem_names_set(&disk->names, change.set, change.inode);

            ASSERT(r == 0);
        }
        change_release(&change);
    }
}

static void drop_changes(struct fault_disk *disk)
{
    for (unsigned i = 0; i < disk->change_count; i++)
        change_release(&disk->changes[i]);
    disk->change_count = 0;
}

void fault_disk_free(struct mem_inode *inode)
{
    struct fault_disk *disk = inode->disk;

    if (!disk)
        return;
    inode->disk = NULL;
    drop_changes(disk);
    mem_names_release(&disk->names);
    free(disk->changes);
    free(disk->data);
    free(disk->sectors);
    free(disk);
}

/* ---- the crash ---- */

static bool toss(struct fault_env *fault)
{
    return mem_random(&fault->mem) % 2 == 0;
}

/* Up to which change the names of a directory survive. */
static uint64_t surviving_sequence(struct fault_env *fault, const struct fault_disk *disk,
    enum env_fault_variant variant, uint64_t ordered_sequence)
{
    uint64_t kept;

    switch (variant) {
    case ENV_FAULT_KEPT:
    case ENV_FAULT_NAMES:
    case ENV_FAULT_TORN:
        return UINT64_MAX;
    case ENV_FAULT_RANDOM:
    case ENV_FAULT_GARBAGE:
        kept = mem_random(&fault->mem) % (disk->change_count + 1);
        return kept > 0 ? disk->changes[kept - 1].sequence : 0;
    case ENV_FAULT_ORDERED:
        return ordered_sequence;
    case ENV_FAULT_LOST:
    case ENV_FAULT_CONTENT:
    case ENV_FAULT_VARIANTS:
        break;
    }
    return 0;
}

/* How many of the first changed sectors of a file survive; the rest does by sector_survives(). */
static uint64_t surviving_sectors(struct fault_env *fault, const struct mem_inode *inode,
    const struct fault_disk *disk, enum env_fault_variant variant)
{
    uint64_t first = fault->last_offset / FAULT_SECTOR_BYTES;
    uint64_t end = sectors_of(fault->last_offset + fault->last_bytes);

    if (variant == ENV_FAULT_ORDERED)
        return mem_random(&fault->mem) % (disk->sector_count + 1);
    if (variant == ENV_FAULT_TORN && inode->number == fault->last_number && end > first)
        return first + mem_random(&fault->mem) % (end - first + 1);
    return UINT64_MAX;
}

static bool sector_survives(
    struct fault_env *fault, uint64_t i, uint64_t surviving, enum env_fault_variant variant)
{
    switch (variant) {
    case ENV_FAULT_KEPT:
    case ENV_FAULT_CONTENT:
        return true;
    case ENV_FAULT_RANDOM:
    case ENV_FAULT_GARBAGE:
        return toss(fault);
    case ENV_FAULT_TORN:
        return i < surviving || i >= sectors_of(fault->last_offset + fault->last_bytes);
    case ENV_FAULT_ORDERED:
        return i < surviving;
    case ENV_FAULT_LOST:
    case ENV_FAULT_NAMES:
    case ENV_FAULT_VARIANTS:
        break;
    }
    return false;
}

static uint64_t surviving_size(struct fault_env *fault, uint64_t old, uint64_t now,
    uint64_t surviving, enum env_fault_variant variant)
{
    uint64_t written = surviving < now / FAULT_SECTOR_BYTES ? surviving * FAULT_SECTOR_BYTES : now;

    switch (variant) {
    case ENV_FAULT_KEPT:
    case ENV_FAULT_CONTENT:
    case ENV_FAULT_NAMES:
        return now;
    case ENV_FAULT_RANDOM:
    case ENV_FAULT_GARBAGE:
        if (now > old && toss(fault))
            return old + mem_random(&fault->mem) % (now - old + 1);
        return toss(fault) ? old : now;
    case ENV_FAULT_TORN:
        return toss(fault) && written > old ? written : now;
    case ENV_FAULT_ORDERED:
        return written > old ? written : old;
    case ENV_FAULT_LOST:
    case ENV_FAULT_VARIANTS:
        break;
    }
    return old;
}

static void fill_garbage(struct fault_env *fault, struct fault_disk *disk, uint64_t i)
{
    uint64_t from = i * FAULT_SECTOR_BYTES;

    for (uint64_t at = from; at < from + FAULT_SECTOR_BYTES && at < disk->size; at++)
        disk->data[at] = (uint8_t)mem_random(&fault->mem);
}

static void crash_file(
    struct fault_env *fault, struct mem_inode *inode, enum env_fault_variant variant)
{
    struct fault_disk *disk = fault_disk_of(inode);
    uint64_t old_size = disk->size;
    uint64_t surviving = surviving_sectors(fault, inode, disk, variant);
    uint64_t size = surviving_size(fault, old_size, inode->size, surviving, variant);
    int r;

    disk_resize(disk, size);
    for (uint64_t i = 0; i < disk->sector_count; i++) {
        bool is_new = i * FAULT_SECTOR_BYTES >= old_size;

        if (disk->sectors[i] == FAULT_SECTOR_DIRTY && sector_survives(fault, i, surviving, variant))
            disk_take_sector(disk, inode, i);
        else if (disk->sectors[i] != FAULT_SECTOR_CLEAN && is_new && variant == ENV_FAULT_GARBAGE)
            fill_garbage(fault, disk, i);
    }
    if (disk->sector_count > 0)
        memset(disk->sectors, FAULT_SECTOR_CLEAN, disk->sector_count);
    r = mem_inode_resize(inode, size);
    ASSERT(r == 0);
    if (size > 0)
        memcpy(inode->data, disk->data, size);
}

static void crash_directory(struct mem_inode *directory)
{
    struct fault_disk *disk = fault_disk_of(directory);

    drop_changes(disk);
    mem_names_release(&directory->names);
    for (unsigned i = 0; i < disk->names.count; i++) {
        int r = mem_names_set(&directory->names, disk->names.all[i].name, disk->names.all[i].inode);

        ASSERT(r == 0);
    }
}

static void count_links(struct mem_inode *directory)
{
    for (unsigned i = 0; i < directory->names.count; i++) {
        struct mem_inode *inode = directory->names.all[i].inode;

        inode->links++;
        count_links(inode);
    }
}

static void begin_again(struct fault_env *fault)
{
    fault->dead = false;
    fault->fail_at = 0;
    fault->fail_sync_at = 0;
    fault->crash_at = 0;
    fault->misdirect_in = 0;
}

void env_fault_crash(struct env *env, enum env_fault_variant variant)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_env *mem = &fault->mem;
    uint64_t ordered_sequence = mem_random(mem) % (fault->sequence + 1);
    uint64_t total_bytes = mem->total_bytes;
    struct mem_inode *inode;

    ASSERT(variant < ENV_FAULT_VARIANTS);
    mem->total_bytes = UINT64_MAX;
    mem_kill_open_files(mem);
    for (inode = mem->inodes; inode; inode = inode->next)
        mem_inode_ref(inode);

    for (inode = mem->inodes; inode; inode = inode->next) {
        struct fault_disk *disk = fault_disk_of(inode);

        if (inode->is_directory)
            fault_settle(inode, surviving_sequence(fault, disk, variant, ordered_sequence));
    }
    for (inode = mem->inodes; inode; inode = inode->next) {
        inode->links = inode == mem->root;
        if (inode->is_directory)
            crash_directory(inode);
        else
            crash_file(fault, inode, variant);
    }
    count_links(mem->root);

    for (inode = mem->inodes; inode;) {
        struct mem_inode *next = inode->next;

        mem_inode_unref(inode);
        inode = next;
    }
    mem->total_bytes = total_bytes;
    begin_again(fault);
}

void env_fault_stop(struct env *env)
{
    fault_env_of(env)->dead = true;
}

bool env_fault_is_stopped(struct env *env)
{
    return fault_env_of(env)->dead;
}

void env_fault_restart(struct env *env)
{
    struct fault_env *fault = fault_env_of(env);

    mem_kill_open_files(&fault->mem);
    begin_again(fault);
}
