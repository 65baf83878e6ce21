#!/usr/bin/env bash
# The mistakes it stops: a script that takes over an object which somebody else
# made beforehand (CVE-2022-2625), and a SECURITY DEFINER function that looks
# names up where its caller can put his own.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

version=$(sed -nE "s/^default_version *= *'([^']+)'.*/\1/p" authsync.control)
fresh=authsync--$version.sql
if [ ! -f "$fresh" ]; then
	echo "$fresh is not assembled: make first"
	exit 1
fi

upgrades=$(find sql -path 'sql/upgrade/*--*--*.sql' | LC_ALL=C sort)
bad=0
for script in "$fresh" $upgrades; do
	# Statement by statement, with comments, strings and bodies taken out.  An
	# upgrade may replace what the extension already owns; the server sees to it.
	perl -0777 -e '
		my ($name, $replace_allowed) = @ARGV;
		open(my $fh, "<", $name) or die "$name: $!";
		my $sql = <$fh>;
		my ($bad, $out) = (0, "");
		while ($sql =~ /\G( --[^\n]* | \/\*.*?\*\/ | (\$\w*\$).*?\g2 | \x27(?:[^\x27]|\x27\x27)*\x27 | "(?:[^"]|"")*" | \\echo[^\n]* | . )/gsx) {
			my $piece = $1;
			$piece =~ s/[^\n]//g if $piece =~ /^(?:--|\/\*|\$|\x27|\\echo)/;
			$out .= $piece;
		}
		my $line = 1;
		for my $statement (split /(?<=;)/, $out) {
			my ($lead) = $statement =~ /^(\s*)/;
			my $at = $line + ($lead =~ tr/\n//);
			$line += ($statement =~ tr/\n//);
			(my $flat = $statement) =~ s/\s+/ /g;
			$flat =~ s/^ //;
			my $short = substr($flat, 0, 70);
			if ($flat =~ /\bIF NOT EXISTS\b/i or (!$replace_allowed and $flat =~ /\bOR REPLACE\b/i)) {
				print "$name:$at: would take over an object made by somebody else: $short\n";
				$bad = 1;
			}
			if ($flat =~ /\bSECURITY DEFINER\b/i and $flat !~ /\bSET search_path (?:=|TO) pg_catalog, pg_temp\b/i) {
				print "$name:$at: SECURITY DEFINER without SET search_path = pg_catalog, pg_temp: $short\n";
				$bad = 1;
			}
		}
		exit $bad;' "$script" "$([ "$script" = "$fresh" ] || echo upgrade)" || bad=1
done
exit $bad
