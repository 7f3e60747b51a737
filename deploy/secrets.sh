#!/bin/sh
# Makes the secrets that compose.yaml hands to its services, once each: `sh deploy/secrets.sh [FOLDER]`. What is there
# already stays as it is; to renew one, remove its file, run this again and recreate the services.
#
# The folder is yours alone. The files in it are readable for everybody, because each service reads them under a user of
# its own; nobody else gets as far as them.
set -eu
cd "$(dirname "$0")"
folder=${1:-secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { # NAME: a file from standard input, unless it is there
  if [ -e "$folder/$1" ]; then cat >/dev/null; return; fi
  cat >"$folder/$1.new"
  chmod 444 "$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
  echo "made $folder/$1"
}

for name in andon_token oncall_token approver_token grafana_password store_password; do
  random | keep "$name"
done

# Andon's user: its own keys, its scripts, and the looks that prove the settings safe. Everybody else may only ping.
hash=$(sha256sum <"$folder/store_password" | cut -d' ' -f1)
rm -f "$folder/store_acl"
keep store_acl <<ACL
user default on nopass resetkeys resetchannels -@all +ping
user andon on #$hash resetkeys ~andon:* resetchannels &andon:* -@all +@read +@write +@connection +@transaction +@scripting +@pubsub -@dangerous +info +role +config|get +wait +waitaof +time
ACL

if [ ! -e "$folder/pagerduty_key" ]; then
  echo "put-an-events-v2-integration-key-here" | keep pagerduty_key
  echo "now put PagerDuty's integration key into $folder/pagerduty_key: alerts about Andon itself go there" >&2
fi
