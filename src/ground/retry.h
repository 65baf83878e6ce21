/*
 * retry.h
 *	  When to try again. Pure.
 */
#ifndef AUTHSYNC_RETRY_H
#define AUTHSYNC_RETRY_H

/*
 * Waits after the first, second, ... failed attempt, as a literal of
 * interval[]; the last one stands for all that follow. (The schedule that
 * Svix publishes for webhooks.)
 */
#define ASY_RETRY_WAITS "{5 seconds,5 minutes,30 minutes,2 hours,5 hours,10 hours,10 hours}"

#endif
