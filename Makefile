# authsync: build, install, test.
#
#   make                     build the library and the install script
#   make install             install into the server that pg_config names
#   make installcheck        regress and isolation tests against a running server
#   make bench               what it costs beside plpgsql and SQL, half an hour; SIZE=small shows that it runs
#   make help                this list
#
# script/test does everything on a bare machine; script/demo shows it.

PG_CONFIG ?= pg_config
EXTENSION   = authsync
MODULE_big  = authsync
PGFILEDESC  = "authsync - keeps profiles in step with the auth provider"
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" authsync.control)

# The install script is assembled from the parts; what is written there as
# CREATE OR REPLACE (so that an upgrade can repeat it) becomes a plain CREATE,
# which fails on an object that somebody put there before us.
SQL_PARTS  := $(sort $(wildcard sql/[0-9][0-9]_*.sql))
DATA_built  = authsync--$(EXTVERSION).sql
DATA        = $(wildcard sql/upgrade/*--*--*.sql) $(filter-out sql/released/authsync--$(EXTVERSION).sql,$(wildcard sql/released/*--*.sql))
SCRIPTS     = bin/authsync
OBJS        = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
# The server's headers are not ours to mend: as system headers they raise no warnings.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) -I$(srcdir)/src -DAUTHSYNC_VERSION='"$(EXTVERSION)"'
SHLIB_LINK += -lcurl -lcrypto
DEPFILES    = $(OBJS:.o=.d)

REGRESS       = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS  = --inputdir=test
ISOLATION     = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation
EXTRA_CLEAN   = $(DEPFILES) authsync--*.sql results output_iso regression.diffs regression.out tmp_check

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Of the objects alone: what is compiled a second time, to bitcode, would write the same files for itself.
override CFLAGS += -MMD -MP
-include $(DEPFILES)
ifeq ($(with_llvm), yes)
$(OBJS:.o=.bc): %.bc: %.o
endif

authsync--$(EXTVERSION).sql: $(SQL_PARTS) authsync.control
	sed -E 's/^CREATE OR REPLACE /CREATE /' $(SQL_PARTS) > $@

.PHONY: help
help: # list the targets
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

.PHONY: bench
bench: # in a cluster of its own, with a build of its own
	bench/run $(SIZE)

# Flags live here.
$(OBJS): Makefile

# PGXS installs scripts by their name but removes them by their path.
uninstall: uninstall-command
.PHONY: uninstall-command
uninstall-command:
	rm -f '$(DESTDIR)$(bindir)/authsync'
