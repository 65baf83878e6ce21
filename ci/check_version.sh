#!/usr/bin/env bash
# The mistake it stops: a release whose papers name another version than the
# control file, the only place where the version is written by hand first.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

bad=0
version=$(sed -nE "s/^default_version *= *'([^']+)'.*/\1/p" authsync.control)
if [ -z "$version" ]; then
	echo "authsync.control: no default_version"
	exit 1
fi

# PGXN wants three numbers, a control file as many as it likes.
three=$version
while [ "$(tr -cd . <<<"$three")" != .. ]; do three+=.0; done

meta()
{
	perl -MJSON::PP -0777 -ne '
		my $m = decode_json($_);
		print join("\n", $m->{version}, map { $_->{version} } values %{$m->{provides}}), "\n"' META.json
}
stated=$(meta) || { echo "META.json: not read as JSON"; exit 1; }
while read -r found; do
	if [ "$found" != "$three" ]; then
		echo "META.json says $found, authsync.control says $version"
		bad=1
	fi
done <<<"$stated"

# The newest entry is either still open or the release itself.
top=$(sed -nE 's/^## *\[?([^] ]+)\]?.*/\1/p' CHANGELOG.md | head -n 1)
case $top in
	Unreleased | "$version" | "$three") ;;
	*)
		echo "CHANGELOG.md begins with ${top:-nothing}, authsync.control says $version"
		bad=1
		;;
esac

exit $bad
