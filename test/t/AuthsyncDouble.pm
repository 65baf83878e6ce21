# What the tests against the double (test/double) have in common: the double as a
# child, its control, providers that lead to it, and what an error says.
package AuthsyncDouble;
use strict;
use warnings;
use AuthsyncTest;
use Exporter 'import';
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_double service_key marked_key give_secret new_provider trouble is_clean listener full_listener
  callers certificate names_library backend_memory);

# Another key that it takes as well, which can be told from all others.
sub marked_key
{
	my ($mark) = @_;
	my ($out, $err);
	IPC::Run::run([ 'python3', '-B', '-c', "import sys; sys.path.insert(0, '$tree/test/double'); import supabase; print(supabase.hs256(dict(supabase.ROLE, role='service_role', mark=sys.argv[1]), supabase.SECRET))", $mark ],
		'>', \$out, '2>', \$err) or BAIL_OUT("a key: $err");
	chomp $out;
	return $out;
}

my $json = JSON::PP->new->canonical->allow_nonref->utf8;
my @doubles;
my $key;

# The key that the double takes for the service role's.
sub service_key
{
	$key ||= do
	{
		my ($out, $err);
		IPC::Run::run([ 'python3', '-B', '-c', "import sys; sys.path.insert(0, '$tree/test/double'); import supabase; print(supabase.SERVICE_JWT)" ],
			'>', \$out, '2>', \$err) or BAIL_OUT("the double's key: $err");
		chomp $out;
		$out;
	};
	return $key;
}

# ---- the double; tls => [ certificate, key ]

sub start_double
{
	my (%opt) = @_;
	my $self = bless { scheme => $opt{tls} ? 'https' : 'http', in => '', out => '', err => '' };
	$self->{h} = IPC::Run::start([ 'python3', '-B', "$tree/test/double/server.py", '--until-eof', $opt{tls} ? ('--tls', @{ $opt{tls} }) : () ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err});
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	$self->{h}->pump_nb, sleep 0.01 until $self->{out} =~ /^ready (\d+)$/m or time > $end or !$self->{h}->pumpable;
	($self->{port}) = $self->{out} =~ /^ready (\d+)$/m or BAIL_OUT("the double does not start: $self->{err}");
	$self->{base} = "$self->{scheme}://127.0.0.1:$self->{port}";
	push @doubles, $self;
	return $self;
}

# The exit status is the test's.
END
{
	my $status = $?;
	eval { $_->{h}->kill_kill(grace => 0) } for @doubles;
	$? = $status;
}

sub url
{
	my ($self, $provider) = @_;
	return "$self->{base}/" . ($provider || 'supabase');
}

# Perl alone speaks no https, Python does.
my $by_python = q{
import ssl, sys, urllib.request
request = urllib.request.Request(sys.argv[2], method=sys.argv[1], data=sys.stdin.buffer.read() or None)
sys.stdout.buffer.write(urllib.request.urlopen(request, context=ssl._create_unverified_context()).read())};

sub control
{
	my ($self, $verb, $call, $body) = @_;
	my $text = defined $body ? $json->encode($body) : '';
	if ($self->{scheme} eq 'https')
	{
		my ($out, $err);
		IPC::Run::run([ 'python3', '-c', $by_python, $verb, "$self->{base}/_control/$call" ], '<', \$text, '>', \$out, '2>', \$err)
			or die "the double, $call: $err";
		return $json->decode($out);
	}
	my $answer = HTTP::Tiny->new(proxy => undef, http_proxy => undef, https_proxy => undef)->request($verb, "$self->{base}/_control/$call", { content => $text });
	die "the double, $call: $answer->{status} $answer->{content}" unless $answer->{success};
	return $json->decode($answer->{content});
}

sub reset { return $_[0]->control('POST', 'reset', {}); }
sub fault { my ($self, %f) = @_; return $self->control('POST', 'fault', \%f); }
sub hook { my ($self, %h) = @_; return $self->control('POST', 'hook', \%h); }
sub set { my ($self, $provider, %s) = @_; return $self->control('POST', 'set', { provider => $provider, %s }); }
sub add { my ($self, $provider, %u) = @_; return $self->control('POST', 'users', { provider => $provider, %u }); }
sub users { return @{ $_[0]->control('GET', "users?provider=$_[1]") }; }
sub log { return @{ $_[0]->control('GET', "log?provider=$_[1]") }; }
sub requests { return $_[0]->control('GET', 'stats')->{requests}; }
sub stats { return $_[0]->control('GET', 'stats'); }

# ---- providers

sub give_secret
{
	my ($node, $db, $server, $value, $name) = @_;
	$name ||= 'service_key';
	$node->safe_psql($db, "COPY authsync.new_secret (server, name, value) FROM STDIN;\n$server\t$name\t$value\n\\.\n");
}

# A server with its secret, and its table in a schema of its name.
sub new_provider
{
	my ($node, $db, $server, $url, %opt) = @_;
	my $secret = exists $opt{secret} ? delete $opt{secret} : service_key();
	my $name = delete $opt{secret_name};
	my $provider = delete $opt{provider} || 'supabase';
	my $options = join ', ', "provider '$provider'", "url '$url'", map { "$_ '$opt{$_}'" } sort keys %opt;
	$node->safe_psql($db, qq{CREATE SERVER $server FOREIGN DATA WRAPPER authsync OPTIONS ($options);
		CREATE SCHEMA $server; IMPORT FOREIGN SCHEMA authsync FROM SERVER $server INTO $server;});
	give_secret($node, $db, $server, $secret, $name) if defined $secret;
}

# What became of a statement: state (00000 if all went well), message, detail, hint, out, err, took.
sub trouble
{
	my ($node, $db, $sql, %opt) = @_;
	my $since = time;
	my ($rc, $out, $err) = $node->psql($db, $sql,
		extra_params => [ '-v', 'VERBOSITY=verbose', $opt{role} ? ('-U', $opt{role}) : () ]);
	my %t = (rc => $rc, out => $out, err => $err, took => time - $since, state => $rc == 0 ? '00000' : "none: $err", message => '', detail => '', hint => '');
	@t{qw(state message)} = ($1, $2) if $err =~ /(?:ERROR|FATAL|PANIC): +([0-9A-Z]{5}): (.*)/;
	my $rest = $err =~ /(?:ERROR|FATAL|PANIC): +[0-9A-Z]{5}:(.*)/s ? $1 : '';
	$t{detail} = $1 if $rest =~ /^DETAIL:  (.*)/m;
	$t{hint} = $1 if $rest =~ /^HINT:  (.*)/m;
	return \%t;
}

# Neither the secret nor the part of it that proves anything.
sub is_clean
{
	my ($text, $what, @secrets) = @_;
	my @found = grep { index($text, $_) >= 0 || (length $_ > 60 && index($text, substr($_, -30)) >= 0) } @secrets ? @secrets : service_key();
	return is("@found", '', $what);
}

# The most memory that the backend of this statement has held so far, in MB; to be put after it.
sub backend_memory
{
	my ($what) = @_;
	return sprintf q{SELECT (regexp_match(pg_read_file('/proc/self/status'), '%s:\s+(\d+)'))[1]::bigint / 1024}, $what || 'VmHWM';
}

# ---- what is no provider

# Somebody who takes connections and says nothing.
sub listener
{
	my (%opt) = @_;
	return IO::Socket::INET->new(LocalAddr => $opt{address} || '127.0.0.1', LocalPort => $opt{port} || 0, Listen => defined $opt{backlog} ? $opt{backlog} : 64,
		ReuseAddr => 1, Blocking => 0) || die "no listener: $@";
}

# How many have come to a listener since the last time.
sub callers
{
	my ($listener) = @_;
	my $n = 0;
	while (my $caller = $listener->accept) { $n++; close $caller; }
	return $n;
}

# One whose queue is full: who connects now hears nothing. Keep both.
sub full_listener
{
	my $listener = listener(backlog => 1);
	my @queue;
	for (1 .. 8)
	{
		push @queue, IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $listener->sockport, Blocking => 0, Proto => 'tcp');
		sleep 0.02;
	}
	return ($listener, \@queue);
}

# A certificate (and its key) by the CA in that directory, which is made first. Negative days: it has run out.
sub certificate
{
	my ($dir, $name, $san, $days) = @_;
	my $try = sub { my ($out, $err); return IPC::Run::run([ 'openssl', @_ ], '>', \$out, '2>', \$err) ? '' : "openssl @_: $err"; };
	my $openssl = sub { my $failure = $try->(@_); BAIL_OUT($failure) if $failure; };
	$openssl->('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem", '-subj', '/CN=authsync test CA', '-days', '2')
		unless -e "$dir/ca.pem";
	$openssl->('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', "$dir/$name.key", '-out', "$dir/$name.csr", '-subj', "/CN=$name");
	append_to_file("$dir/$name.ext", "subjectAltName=$san\n");
	# OpenSSL 3.5 refuses negative days, and 3.0 does not know the dates.
	my @past = qw(-not_before 20200101000000Z -not_after 20200102000000Z);
	my @sign = ('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-extfile', "$dir/$name.ext", '-out', "$dir/$name.pem");
	$openssl->(@sign, '-days', $days || 2) unless ($days || 0) < 0 && !$try->(@sign, @past);
	return [ "$dir/$name.pem", "$dir/$name.key" ];
}

# A library for LD_PRELOAD that answers for the names below .test, since no test may
# change the machine's own DNS: v4-10-0-0-1.test has that address, mute.test is never
# answered, nobody.test is unknown, turns.test is public the first time and then here.
sub names_library
{
	my ($dir) = @_;
	append_to_file("$dir/names.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	static int	turns = 0;
	lookup		real = (lookup) dlsym(RTLD_NEXT, "getaddrinfo");
	char		address[64];
	unsigned int a, b, c, d;

	if (name == NULL || strlen(name) < 5 || strcmp(name + strlen(name) - 5, ".test") != 0)
		return real(name, service, hints, found);
	if (sscanf(name, "v4-%u-%u-%u-%u.test", &a, &b, &c, &d) == 4)
		snprintf(address, sizeof(address), "%u.%u.%u.%u", a, b, c, d);
	else if (strcmp(name, "turns.test") == 0)
		snprintf(address, sizeof(address), turns++ ? "127.0.0.1" : "203.0.113.1");
	else if (strncmp(name, "v6-", 3) == 0)
	{
		char	   *at;

		snprintf(address, sizeof(address), "%.*s", (int) strlen(name) - 8, name + 3);
		while ((at = strchr(address, '-')) != NULL)
			*at = ':';
	}
	else
	{
		if (strcmp(name, "mute.test") == 0)
			sleep(20);
		return EAI_NONAME;
	}
	return real(address, service, hints, found);
}
C
	my ($out, $err);
	IPC::Run::run([ 'cc', '-shared', '-fPIC', '-O1', '-o', "$dir/names.so", "$dir/names.c", '-ldl' ], '>', \$out, '2>', \$err) or BAIL_OUT("names.c: $err");
	return "$dir/names.so";
}

1;
