/*
 * trigger.h
 *	  What the trigger functions have in common.
 */
#ifndef AUTHSYNC_TRIGGER_H
#define AUTHSYNC_TRIGGER_H

#include "commands/trigger.h"
#include "fmgr.h"

/* The trigger data, or an error (39P01) if this is no trigger of that kind. */
extern TriggerData *asy_trigger_called_as(FunctionCallInfo fcinfo, bool (*fits) (const TriggerData *t), const char *when);

/* Of an UPDATE, row by row: the images differ. A toasted value that was not touched keeps its pointer, so nothing is fetched. */
extern bool asy_trigger_attribute_changed(const TriggerData *t, AttrNumber attnum);

#endif
