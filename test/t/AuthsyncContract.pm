# What the contract test of the providers stands on: each provider's description
# (test/providers), a worker for each with a double and a session of its own, and the
# table of what came of it.
package AuthsyncContract;
use strict;
use warnings;
use AuthsyncDouble;
use AuthsyncTest;
use Carp;
use Exporter 'import';
use IO::File;
use IO::Select;
use IPC::Open3;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use POSIX ();
use Symbol 'gensym';
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(description quoted begin_worker server given_users check cannot in_case run_workers
  decoded encoded id_list same_ids good failed fits row_of log_of sent_since shown);

my $json = JSON::PP->new->canonical->allow_nonref;		# characters, not bytes
my $session_number = 0;

sub decoded { return $json->decode($_[0]); }
sub encoded { return $json->encode($_[0]); }
sub quoted { my ($text) = @_; return "'" . ($text =~ s/'/''/gr) . "'"; }

# What is true of this provider and of no other; undef if nobody has said.
sub description
{
	my ($name) = @_;
	my $file = "$tree/test/providers/$name.pl";
	return undef unless -e $file;
	my $d = do $file or die "$file: " . ($@ || $!);
	return $d;
}

# ---- a session: psql with its pipes, so that a statement costs no connection

sub open_session
{
	my ($w) = @_;
	my $errors = PostgreSQL::Test::Utils::tempdir() . '/session' . $$ . '_' . $session_number++;
	my $s = { errors => $errors, n => 0, buffer => '' };
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	open my $null, '>', $errors or die "$errors: $!";
	$s->{pid} = open3($s->{in} = gensym, $s->{out} = gensym, '>&' . fileno($null),
		'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $w->{node}->connstr($w->{db}));
	open $s->{err}, '<:encoding(UTF-8)', $errors or die "$errors: $!";
	binmode $s->{in}, ':encoding(UTF-8)';
	$s->{in}->autoflush(1);
	$w->{session} = $s;
	ask($w, "SET statement_timeout = '60s'; SET timezone = 'UTC'; SET client_encoding = 'UTF8'");
	return $s;
}

# What became of a statement: state (00000 if all went well), message, detail, hint, out, err, took.
sub ask
{
	my ($w, $sql) = @_;
	my $s = $w->{session} || open_session($w);
	my $mark = 'end-of-' . ++$s->{n};
	my $since = time;
	my $select = IO::Select->new($s->{out});
	my ($dead, $out);
	local $SIG{PIPE} = 'IGNORE';
	# After the data of COPY no semicolon may stand alone: psql would hear nothing of what follows.
	print { $s->{in} } $sql, $sql =~ /^\\\.\n\z/m ? '' : ";\n", "\\echo $mark\n";
	until (defined $out)
	{
		my $end = index $s->{buffer}, "$mark\n";
		if ($end >= 0) { $out = substr $s->{buffer}, 0, $end + length("$mark\n"), ''; substr($out, $end) = ''; }
		elsif ($dead = !$select->can_read(120) || !sysread($s->{out}, $s->{buffer}, 1 << 20, length $s->{buffer})) { $out = $s->{buffer}; }
	}
	utf8::decode($out);
	chomp $out;
	seek $s->{err}, 0, 1;
	my $err = do { local $/; readline($s->{err}) } // '';
	$w->{heard} .= "$out\n$err\n" if length $out < 20000;
	my %t = (out => $out, err => $err, took => time - $since, state => '00000', message => '', detail => '', hint => '');
	if ($err =~ /(?:ERROR|FATAL|PANIC): +([0-9A-Z]{5}): (.*)/)
	{
		@t{qw(state message)} = ($1, $2);
		my $rest = substr $err, $-[0];
		$t{detail} = $1 if $rest =~ /^DETAIL:  (.*)/m;
		$t{hint} = $1 if $rest =~ /^HINT:  (.*)/m;
	}
	if ($dead || $err =~ /server closed the connection|terminat|crash of another/)
	{
		$t{state} = 'CRASH';
		$w->{crashes}++;
		kill 'KILL', $s->{pid};
		waitpid $s->{pid}, 0;
		delete $w->{session};
		wait_until(sub { ($w->{node}->psql($w->{db}, 'SELECT 1'))[0] == 0 });
	}
	return \%t;
}

sub shown
{
	my ($t) = @_;
	my $text = $t->{state} eq '00000' ? "no error, out: $t->{out}" : "$t->{state}: $t->{message} / $t->{detail}";
	return length $text > 400 ? substr($text, 0, 400) . '…' : $text;
}

# ---- servers

# A foreign server of this provider, its secrets and its table; {path}, {options}, {secrets} differ from the description.
sub server
{
	my ($w, $suffix, %opt) = @_;
	my $d = $w->{d};
	my $name = "$w->{name}_$suffix";
	return "$name.users" if $w->{servers}{$name}++;
	my %options = (%{ $d->{options} || {} }, %{ $opt{options} || {} });
	my %secrets = %{ $opt{secrets} || $d->{secrets} };
	my $url = $w->{double}{base} . (exists $opt{path} ? $opt{path} : $d->{path});
	my $list = join ', ', "provider '$w->{name}'", 'url ' . quoted($url),
		map { "$_ " . quoted($options{$_} =~ s/\{base\}/$w->{double}{base}/gr) } grep { defined $options{$_} } sort keys %options;
	my $t = ask($w, "CREATE SERVER $name FOREIGN DATA WRAPPER authsync OPTIONS ($list); CREATE SCHEMA $name; IMPORT FOREIGN SCHEMA authsync FROM SERVER $name INTO $name");
	die "server $name: $t->{err}" if $t->{state} ne '00000';
	for my $secret (sort keys %secrets)
	{
		my $value = $secrets{$secret} =~ s/\\/\\\\/gr =~ s/\n/\\n/gr;
		$w->{secret}{ $secrets{$secret} } = 1;
		my $stored = ask($w, "COPY authsync.new_secret (server, name, value) FROM STDIN;\n$name\t$secret\t$value\n\\.\n");
		die "secret $secret of $name: $stored->{err}" if $stored->{state} ne '00000';
	}
	return "$name.users";
}

# ---- the double, as this provider sees it

# Nobody but these: so many plausible ones, or as described.
sub given_users
{
	my ($w, @what) = @_;
	$w->{double}->control('POST', 'reset', { provider => $w->{name} });
	$w->{double}->set($w->{name}, %{ $w->{d}{settings} }) if $w->{d}{settings};
	$w->{double}->add($w->{name}, created_at => '2025-01-01T00:00:00Z', @what) if @what;
	return map { $_->{id} } $w->{double}->users($w->{name});
}

sub log_of { my ($w) = @_; return $w->{double}->log($w->{name}); }

# The requests since there were so many, without those for a token.
sub sent_since
{
	my ($w, $before, $match) = @_;
	my @log = log_of($w);
	my @new = @log[ $before .. $#log ];
	my $token = $w->{d}{token};
	@new = grep { index($_->{path}, $token) < 0 } @new if $token;
	@new = grep { index("$_->{method} $_->{path}?$_->{query}", $match) >= 0 } @new if $match;
	return @new;
}

# ---- what comes of it

# What follows belongs to that case.
sub in_case
{
	my ($w, $case) = @_;
	$w->{case} = $case;
	push @{ $w->{cases} }, $case unless $w->{results}{$case};
	$w->{results}{$case} ||= { good => 0, bad => [], cannot => 0 };
}

sub check
{
	my ($w, $ok, $what, $seen) = @_;
	my $r = $w->{results}{ $w->{case} };
	if ($ok) { $r->{good}++; }
	else { push @{ $r->{bad} }, $what . (defined $seen ? ": $seen" : ''); }
	return $ok;
}

# The driver says that it cannot; what was checked all the same still counts if it fails.
sub cannot { my ($w) = @_; $w->{results}{ $w->{case} }{cannot} = 1; }

sub good { my ($w, $sql, $what) = @_; my $t = ask($w, $sql); check($w, $t->{state} eq '00000', $what, shown($t)); return $t; }

# It fails with one of these states, and shows no row.
sub failed
{
	my ($w, $sql, $states, $what, $like) = @_;
	my $t = ask($w, $sql);
	check($w, scalar(grep { $t->{state} eq $_ } split / /, $states) && $t->{out} eq '', "$what: $states wanted", shown($t));
	check($w, "$t->{message} $t->{detail} $t->{hint}" =~ $like, "$what: $like wanted in it", shown($t)) if $like && $t->{state} ne '00000';
	return $t;
}

sub id_list { my ($out) = @_; return $out eq '' ? () : @{ decoded($out) }; }

# Exactly these, each once
sub same_ids
{
	my ($w, $t, $want, $what) = @_;
	return check($w, 0, $what, shown($t)) if $t->{state} ne '00000';
	my %count;
	$count{$_}++ for id_list($t->{out});
	my @lacking = grep { !$count{$_} } @$want;
	my @twice = grep { $count{$_} > 1 } keys %count;
	my %wanted = map { $_ => 1 } @$want;
	my @more = grep { !$wanted{$_} } keys %count;
	return check($w, !(@lacking || @twice || @more), $what, sprintf '%d wanted, %d missing (%s), %d twice (%s), %d too many (%s)', scalar @$want,
		scalar @lacking, $lacking[0] // '', scalar @twice, $twice[0] // '', scalar @more, $more[0] // '');
}

# One row as a hash; nothing if there is none.
sub row_of
{
	my ($w, $from, $where) = @_;
	my $t = ask($w, "SELECT to_jsonb(u) FROM $from AS u WHERE $where");
	return ($t->{state} eq '00000' && $t->{out} ne '' && $t->{out} !~ /\n/ ? decoded($t->{out}) : undef, $t);
}

# What a row has in these columns; times by the instant, JSON by its value.
sub fits
{
	my ($w, $row, $want, $what) = @_;
	return check($w, 0, $what, 'no row') unless $row;
	for my $column (sort keys %$want)
	{
		my ($have, $should) = ($row->{$column}, $want->{$column});
		next if ref $should eq 'Regexp' ? defined $have && encoded($have) =~ $should : encoded($have) eq encoded($should);
		check($w, 0, "$what: $column", encoded($have) . ' instead of ' . (ref $should eq 'Regexp' ? $should : encoded($should)));
	}
	return check($w, 1, $what);
}

# ---- workers: one process for a provider, so many at once

sub begin_worker
{
	my ($node, $db, $name) = @_;
	my $w = { node => $node, db => $db, name => $name, results => {}, cases => [], heard => '', servers => {}, secret => {}, crashes => 0 };
	$w->{d} = description($name);
	$w->{double} = start_double();
	$w->{caps} = { map { $_ => 1 } id_list(ask($w, "SELECT to_jsonb(authsync.provider_capabilities('$name'))")->{out}) };
	$w->{users} = server($w, 'main');
	return $w;
}

# Runs work->(worker) for each name; the results, by name.
sub run_workers
{
	my ($node, $db, $width, $work, @names) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my (%running, %results);
	my @waiting = @names;
	while (@waiting || %running)
	{
		while (@waiting && keys %running < $width)
		{
			my $name = shift @waiting;
			my $pid = fork // die "fork: $!";
			if (!$pid)
			{
				my $since = time;
				my $w;
				my $ended = eval { $w = begin_worker($node, $db, $name); $work->($w); 1 };
				my $r = { results => $w->{results} || {}, cases => $w->{cases} || [], died => $ended ? undef : "$@", untried => $w->{d}{untried} || {}, took => time - $since };
				open my $file, '>', "$dir/$name.json" or die "$dir/$name.json: $!";
				print $file JSON::PP->new->utf8->encode($r);
				close $file;
				kill 'KILL', $w->{session}{pid} if $w->{session};
				eval { $w->{double}{h}->kill_kill(grace => 0) } if $w->{double};
				POSIX::_exit(0);
			}
			$running{$pid} = $name;
		}
		my $pid = waitpid -1, 0;
		next unless my $name = delete $running{$pid};
		$results{$name} = -e "$dir/$name.json" ? JSON::PP->new->utf8->decode(slurp_file("$dir/$name.json")) : { results => {}, cases => [], died => 'it died' };
	}
	return \%results;
}

1;
