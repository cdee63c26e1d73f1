#include "sstable/landmarks.h"

#include "engine/assert.h"
#include "rows/compare.h"

/* Longer ones are passed over: a landmark is small beside what it spares. */
#define CLUSTERING_BYTES_MAX 512u

struct place {
    uint32_t offset;        /* of the row in the block */
    uint32_t clustering_at; /* among the clusterings */
};

/** A piece; behind the places, which are in order, come the key and the clusterings. */
struct piece {
    struct partition_place place; /* of a partition; its key is not set */
    struct deletion deletion;     /* of the partition, if there are landmarks */
    uint32_t key_bytes;           /* 0: of a block */
    uint32_t count;
    struct place places[];
};

static const struct piece *piece_of(const struct chunk *chunk)
{
    return (const struct piece *)(const void *)chunk->content.data;
}

static struct bytes key_of(const struct chunk *chunk)
{
    const struct piece *piece = piece_of(chunk);

    return bytes_of((const uint8_t *)(piece->places + piece->count), piece->key_bytes);
}

static struct bytes clusterings_of(const struct chunk *chunk)
{
    struct bytes key = key_of(chunk);
    const uint8_t *from = key.data + key.size;

    return bytes_of(from, (size_t)(chunk->content.data + chunk->content.size - from));
}

static void begin_block(struct landmarks *landmarks, uint64_t block)
{
    const struct piece *piece = landmarks->known ? piece_of(landmarks->known) : NULL;

    landmarks->block = landmarks->next_at = block;
    if (piece && piece->count > 0)
        landmarks->next_at += piece->places[piece->count - 1].offset + LANDMARK_BYTES;
}

static void begin(struct landmarks *landmarks, struct sstable *sstable, struct chunk_key name)
{
    landmarks->sstable = sstable;
    landmarks->name = name;
    landmarks->known = chunk_cache_get(sstable->cache, name);
    landmarks->key = BYTES_NONE;
    landmarks->has_new_place = false;
    landmarks->places = landmarks->clusterings = BUF_INIT;
}

bool landmarks_open_partition(struct landmarks *landmarks, struct sstable *sstable,
    const struct decorated_key *key, struct partition_place *ret_place)
{
    const struct piece *piece;

    begin(landmarks, sstable,
        (struct chunk_key){sstable->cache_file, (uint64_t)key->token, CHUNK_PARTITION});
    landmarks->key = key->key;
    if (!landmarks->known)
        return false;
    if (!bytes_equal(key_of(landmarks->known), key->key)) { /* of one token with it */
        chunk_release(sstable->cache, landmarks->known);
        landmarks->known = NULL;
        return false;
    }
    piece = piece_of(landmarks->known);
    *ret_place = piece->place;
    ret_place->entry.key = key->key;
    begin_block(landmarks, piece->place.entry.position);
    return true;
}

void landmarks_set_place(struct landmarks *landmarks, const struct partition_place *place)
{
    landmarks->has_new_place = true;
    landmarks->place = *place;
    begin_block(landmarks, place->entry.position);
}

void landmarks_open_block(struct landmarks *landmarks, struct sstable *sstable, uint64_t block)
{
    begin(landmarks, sstable, (struct chunk_key){sstable->cache_file, block, CHUNK_LANDMARKS});
    begin_block(landmarks, block);
}

static int compare(const struct landmarks *landmarks, struct bytes clusterings, uint32_t at,
    const struct clustering *clustering)
{
    struct decoder d = decoder_of(bytes_of(clusterings.data + at, clusterings.size - at));
    struct clustering_memory memory;
    struct clustering landmark;
    enum data_result result =
        data_get_clustering_prefix(&d, &landmarks->sstable->header, &memory, &landmark);

    ASSERT(result == DATA_OK); /* landmarks_add() has put it there */
    return clustering_compare(landmarks->sstable->schema, &landmark, clustering);
}

bool landmarks_find(const struct landmarks *landmarks, const struct clustering *clustering,
    uint64_t *ret_position, struct deletion *ret_deletion)
{
    const struct piece *piece;
    struct bytes clusterings;
    uint32_t low = 0, high;

    if (!landmarks->known)
        return false;
    piece = piece_of(landmarks->known);
    clusterings = clusterings_of(landmarks->known);
    high = piece->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare(landmarks, clusterings, piece->places[middle].clustering_at, clustering) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *ret_position = landmarks->block + piece->places[low - 1].offset;
    *ret_deletion = piece->deletion;
    return true;
}

void landmarks_add(
    struct landmarks *landmarks, uint64_t position, const struct clustering *clustering)
{
    struct place place = {
        (uint32_t)(position - landmarks->block), (uint32_t)landmarks->clusterings.size};

    if (position - landmarks->block > UINT32_MAX)
        return;
    data_put_clustering_prefix(&landmarks->clusterings, &landmarks->sstable->header, clustering);
    if (landmarks->clusterings.size - place.clustering_at > CLUSTERING_BYTES_MAX) {
        landmarks->clusterings.size = place.clustering_at;
        return;
    }
    buf_append(&landmarks->places, &place, sizeof(place));
    landmarks->next_at = position + LANDMARK_BYTES;
}

static uint8_t *put(uint8_t *to, const void *from, size_t size)
{
    if (size > 0)
        memcpy(to, from, size);
    return to + size;
}

/* What was known and what is new together; NULL: no memory. */
static struct chunk *join(const struct landmarks *landmarks, struct deletion deletion)
{
    const struct piece *known = landmarks->known ? piece_of(landmarks->known) : NULL;
    struct bytes clusterings = known ? clusterings_of(landmarks->known) : BYTES_NONE;
    uint32_t known_count = known ? known->count : 0;
    uint32_t new_count = (uint32_t)(landmarks->places.size / sizeof(struct place));
    size_t bytes = sizeof(struct piece) + (known_count + new_count) * sizeof(struct place) +
                   landmarks->key.size + clusterings.size + landmarks->clusterings.size;
    struct chunk *chunk = chunk_new(landmarks->sstable->cache, bytes);
    struct piece *piece;
    uint8_t *to;

    if (!chunk)
        return NULL;
    to = (uint8_t *)(uintptr_t)chunk->content.data; /* still ours alone */
    piece = (struct piece *)(void *)to;
    *piece = (struct piece){
        .place = known ? known->place : landmarks->place,
        .deletion = deletion,
        .key_bytes = (uint32_t)landmarks->key.size,
        .count = known_count + new_count,
    };
    to = put(to + sizeof(*piece), known ? known->places : NULL, known_count * sizeof(struct place));
    to = put(to, landmarks->places.data, landmarks->places.size);
    for (uint32_t i = known_count; i < piece->count; i++)
        piece->places[i].clustering_at += (uint32_t)clusterings.size;
    to = put(to, landmarks->key.data, landmarks->key.size);
    to = put(to, clusterings.data, clusterings.size);
    put(to, landmarks->clusterings.data, landmarks->clusterings.size);
    return chunk;
}

void landmarks_close(struct landmarks *landmarks, struct deletion deletion)
{
    struct chunk_cache *cache = landmarks->sstable->cache;
    bool has_new = landmarks->has_new_place || landmarks->places.size > 0;

    if (cache && has_new && buf_error(&landmarks->places) == 0 &&
        buf_error(&landmarks->clusterings) == 0) {
        struct chunk *joined = join(landmarks, deletion);

        if (joined)
            chunk_release(cache, chunk_cache_replace(cache, landmarks->name, joined));
    }
    chunk_release(cache, landmarks->known);
    buf_release(&landmarks->places);
    buf_release(&landmarks->clusterings);
}
