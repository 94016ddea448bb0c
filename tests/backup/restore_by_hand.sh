#!/bin/sh
# What docs/how-to/restore-by-hand.md says, as a script: a folder tier, the age identity, and
# nothing of storewatch. Programs: age, zstd, tar, sha256sum, awk, sed and PostgreSQL's own.
#
#   restore_by_hand.sh TIER/SUBJECT IDENTITY TARGET PORT
#
# The newest recovery point with all WAL behind it; the server is started and left running.
set -eu
tier=$1 identity=$2 target=$3 port=$4
mkdir -m 700 "$target" "$target/wal" "$target/chain"

open() { age -d -i "$identity" "$1" | zstd -dq; }
member() { sed -n "s/^  \"$2\": \"\(.*\)\",*\$/\1/p" "$1"; }

# The newest recovery point that is no logical dump, and the chain that it builds on.
for folder in "$tier"/0*/; do
  [ "$(member "$folder/manifest.json" kind)" = logical ] || id=$(basename "$folder")
done
chain=$id parent=$(member "$tier/$id/manifest.json" parent)
while [ -n "$parent" ]; do
  chain="$parent $chain" parent=$(member "$tier/$parent/manifest.json" parent)
done

for one in $chain; do
  (
    cd "$tier/$one"
    awk -F'"' '/^ *"name": "[^"]*",$/ {name = $4}
               /^ *"stored_sha256"/ {print $4 "  " name ".zst.age"}' manifest.json | sha256sum -c --quiet
  )
  mkdir -m 700 "$target/chain/$one"
  open "$tier/$one/postgres.tar.zst.age" | tar -x -C "$target/chain/$one"
done

# Files and their listing.
for sealed in "$tier/$id"/files-*.tar.zst.age; do
  name=$(basename "$sealed" .tar.zst.age)
  mkdir "$target/$name"
  open "$sealed" | tar -x -C "$target/$name"
  open "$tier/$id/$name.sha256.zst.age" > "$target/$name.sha256"
  (cd "$target/$name" && sha256sum -c --quiet "../$name.sha256")
done

if [ "$chain" = "$id" ]; then
  mv "$target/chain/$id" "$target/postgres"
else
  # shellcheck disable=SC2086  # ids have no spaces
  (cd "$target/chain" && pg_combinebackup --link -o "$target/postgres" $chain)
fi
rm -r "$target/chain"
pg_verifybackup --quiet "$target/postgres"

# The whole WAL archive; PostgreSQL takes from it what it needs.
for sealed in "$tier"/wal/*/*/*.zst.age; do
  name=$(basename "$sealed")
  open "$sealed" > "$target/wal/${name%%-*}"
done

cat > "$target/postgres/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$target'
port = $port
archive_mode = off
hot_standby = off
restore_command = 'cp "$target/wal/%f" "%p"'
recovery_target_timeline = latest
END
: > "$target/postgres/postgresql.auto.conf"
echo 'local all all trust' > "$target/postgres/pg_hba.conf"
touch "$target/postgres/recovery.signal"
pg_ctl -D "$target/postgres" -w -t 60 -s -l "$target/postgres.log" start

# Up, and at the end of the WAL; ended: look into the log.
until pg_isready -q -h "$target" -p "$port"; do
  pg_ctl -D "$target/postgres" status > /dev/null
  sleep 0.2
done
