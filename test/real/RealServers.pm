# The servers of this folder, all started at once: each obtains itself and says by
# answering that it is ready, or by its end that it cannot be had.
package RealServers;
use strict;
use warnings;
use Exporter 'import';
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_server unreachable port_of call json);

my %server;
my $http = HTTP::Tiny->new(timeout => 60, proxy => undef, http_proxy => undef);
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# Does not wait for it.
sub start_server
{
	my ($name, %opt) = @_;
	my @ports = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. ($opt{ports} || 1);
	my $log = "${PostgreSQL::Test::Utils::log_path}/$name.log";
	my $pid = fork;
	die "fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		POSIX::setsid();
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		# Ends with this test, however that ends.
		exec 'setpriv', '--pdeathsig', 'TERM', '--', "$AuthsyncTest::tree/test/real/launch", $name, @ports
		  or POSIX::_exit(127);
	}
	$server{$name} = { pid => $pid, ports => \@ports, log => $log, path => $opt{path} || '/', began => time };
}

sub port_of
{
	my ($name, $n) = @_;
	return $server{$name}{ports}[ $n || 0 ];
}

# Waits until it answers: undef, and $$took seconds; or why it does not.
sub unreachable
{
	my ($name, $seconds, $took) = @_;
	my $s = $server{$name};
	while (1)
	{
		my $answer = $http->get('http://127.0.0.1:' . $s->{ports}[0] . $s->{path}, { headers => { connection => 'close' } });
		$$took = time - $s->{began};
		return undef if $answer->{status} < 500;
		if (waitpid($s->{pid}, POSIX::WNOHANG()) == $s->{pid})
		{
			delete $s->{pid};
			return last_line($s) || 'it ended without a word';
		}
		return sprintf('it does not answer after %d s; it said: %s', $$took, last_line($s) || 'nothing') if $$took > $seconds;
		sleep 0.1;
	}
}

sub last_line
{
	my ($s) = @_;
	my @lines = grep { /\S/ } split /\n/, slurp_file($s->{log});
	return @lines ? $lines[-1] : '';
}

# call(METHOD, URL, headers, content): status, what the JSON of the answer says, the answer. A hash or array is sent as JSON.
sub call
{
	my ($method, $url, $headers, $content) = @_;
	my %headers = %{ $headers || {} };
	if (ref $content)
	{
		$content = $json->encode($content);
		$headers{'content-type'} ||= 'application/json';
	}
	my $answer = $http->request($method, $url, { headers => \%headers, defined $content ? (content => $content) : () });
	return ($answer->{status}, scalar eval { $json->decode($answer->{content}) }, $answer);
}

sub json { return $json->encode(shift); }

# Each has a session of its own: what it has started goes too.
sub stop_all
{
	my @pids = grep { defined } map { $_->{pid} } values %server;
	kill '-TERM', @pids if @pids;
	my $end = time + 5;
	for my $s (grep { $_->{pid} } values %server)
	{
		sleep 0.05 until waitpid($s->{pid}, POSIX::WNOHANG()) != 0 || time > $end;
		kill '-KILL', $s->{pid};
	}
	%server = ();
}

$SIG{TERM} = $SIG{INT} = sub { exit 1 };

END
{
	my $status = $?;
	stop_all();
	$? = $status;
}

1;
