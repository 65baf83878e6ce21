/*
 * progress.h
 *	  authsync.progress: long work that commits as it goes tells of itself.
 */
#ifndef AUTHSYNC_PROGRESS_H
#define AUTHSYNC_PROGRESS_H

/* The row of this statement; seen by others once committed. SPI connected, as the extension's owner. */
extern void asy_progress_show(const char *command, const char *phase, int64 done, int64 total);

/* Takes it away, and those that a killed process left. */
extern void asy_progress_hide(void);

#endif
