/*
 * What a log tells of itself, for whoever has lost the manifest or mends the log.
 */
#ifndef SSTFS_COMMITLOG_SURVEY_H
#define SSTFS_COMMITLOG_SURVEY_H

#include "commitlog/commitlog.h"
#include "commitlog/segment.h"

struct commitlog_survey {
    unsigned segments; /* that count … */
    uint64_t from;     /* … and where the first begins; 0: there is none */
    bool has_note;     /* a note told what follows; else `from` is all that is known */
    uint64_t flushed[COMMITLOG_TABLES_MAX]; /* at least, and at least `from` */
    struct commitlog_cut *cuts;             /* from malloc: commitlog_survey_release() */
    unsigned cut_count;
};

/**
 * Reads headers, and the notes in the log. Replay from `flushed` on is right without a manifest:
 * before a segment is cleared, and what in it deleted rows with it, a note of how far tables are
 * flushed is durable; before that, whatever deletes what is written in a segment is there too.
 * `files`: as a visitor's.
 */
MUST_USE int commitlog_survey(struct env *env, const uint8_t *store_uuid,
    const struct segment_files *files, struct commitlog_survey *ret_survey);
void commitlog_survey_release(struct commitlog_survey *survey);

/** The note that a segment begins with: 1; 0: it begins with something else, as those of older
 * versions do. */
MUST_USE int commitlog_read_note(
    struct env *env, const struct segment_place *place, struct segment_note *ret_note);

/** The bytes from `from` to `to`, of one segment, become NOTE records: replay steps over them. What
 * was there is appended to `ret_before`. */
MUST_USE int commitlog_fill(struct env *env, const uint8_t *store_uuid, uint64_t from, uint64_t to,
    int64_t timestamp_us, struct buf *ret_before);

#endif
