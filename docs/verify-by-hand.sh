#!/bin/sh
# Is this evidence authentic? Checked with openssl, jq, coreutils and tpm2_checkquote alone: none of our code runs here.
# What each line means, and what is not checked: verify-by-hand.md. Exit: 0 all holds, 4 something does not, 64 wrong use,
# 69 a tool is missing.
set -u
LC_ALL=C
export LC_ALL

usage() {
  echo "usage: $0 [-a AK.pub] [-k evidence-key.pem] [-c CHANNEL] [-s SECRET] FOLDER [NONCE]" >&2
  echo "  AK.pub is TPMT_PUBLIC; NONCE is base64 or hex; CHANNEL and SECRET are hex" >&2
  exit 64
}

ak='' key='' channel='' secret=''
while getopts a:k:c:s: option; do
  case $option in
    a) ak=$OPTARG ;;
    k) key=$OPTARG ;;
    c) channel=$OPTARG ;;
    s) secret=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] && [ $# -le 2 ] || usage
folder=$1
nonce=${2-}
: "${ak:=$folder/ak.pub}" "${key:=$folder/evidence-key.pem}"

for tool in openssl jq base64 basenc sha256sum sha384sum od cmp tpm2_checkquote; do
  command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 69; }
done
for file in "$folder/evidence.dsse.json" "$folder/assay.cel" "$ak" "$key"; do
  [ -r "$file" ] || { echo "cannot read $file" >&2; exit 64; }
done

work=$(mktemp -d) || exit 69
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

ok() { printf 'ok    %s\n' "$1"; }
fail() { printf 'FAIL  %s\n' "$1"; failed=1; }
skip() { printf 'none  %s\n' "$1"; }
stop() { fail "$1"; exit 4; }
holds() { # what it is called, then a command that decides
  what=$1
  shift
  if "$@" >/dev/null 2>&1; then ok "$what"; else fail "$what"; fi
}

hex() { od -An -v -tx1 | tr -d ' \n'; }
bytes() { tr a-f A-F | basenc --base16 -d; }
digest() { sha256sum | cut -c1-64; }
is() { [ "$1" = "$2" ]; }

# --- the envelope: once it is known to be written in the one way, its strings stand between its quotation marks -------
jq -c -j '{payloadType, payload, signatures: [.signatures[0] | {keyid, sig}]}' "$folder/evidence.dsse.json" \
  >"$work/envelope" 2>/dev/null || stop 'envelope: DSSE'
holds 'envelope: written in the one way' cmp -s "$work/envelope" "$folder/evidence.dsse.json"
string() { cut -d '"' -f "$1" "$work/envelope"; }
type=application/vnd.assay.evidence.v1+json
holds 'envelope: of evidence' is "$(string 4)" $type

string 8 | tr -d '\n' >"$work/payload.base64"
base64 -d "$work/payload.base64" >"$work/payload" 2>/dev/null || stop 'payload: base64'
base64 -w0 "$work/payload" >"$work/again"
holds 'payload: base64 in the one way' cmp -s "$work/again" "$work/payload.base64"

openssl pkey -pubin -in "$key" -outform DER -out "$work/key.der" 2>/dev/null || stop 'evidence key: a public key'
spki=$(hex <"$work/key.der")
holds 'evidence key: Ed25519' is "${spki%"${spki#????????????????????????}"}" 302a300506032b6570032100
holds 'evidence key: the envelope names it' is "$(string 14)" "$(digest <"$work/key.der")"

{ printf 'DSSEv1 %d %s %d ' ${#type} $type "$(wc -c <"$work/payload")" && cat "$work/payload"; } >"$work/pae"
signed=$(string 18)
printf %s "$signed" | base64 -d >"$work/sig" 2>/dev/null
holds 'envelope: signature in base64 in the one way' is "$signed" "$(base64 -w0 "$work/sig")"
holds 'envelope: signed by the evidence key' \
  openssl pkeyutl -verify -pubin -inkey "$key" -rawin -sigfile "$work/sig" -in "$work/pae"

# --- the payload: jq must write it byte for byte as it came, or what jq reads from it is not what was signed ----------
jq -c '.body, (.quote | {attest, signature, pcrs, logs, audit: (.audit | if . then {commands, attest, signature} else . end)})' \
  "$work/payload" >"$work/parts" 2>/dev/null ||
  stop 'payload: a body and a quote'
sed -n 1p "$work/parts" | tr -d '\n' >"$work/body"
{ printf '{"body":' && cat "$work/body" && printf ',"quote":' && sed -n 2p "$work/parts" | tr -d '\n' && printf '}'; } >"$work/again"
holds 'payload: written in the one way' cmp -s "$work/again" "$work/payload"

# every field behind a "=", so that an empty one is still a field
jq -r '.body as $body | ($body.selection.pcrs) as $pcrs | [
  $body.kind, $body.nonce // "", $body.channel // "", $body.credential // "none", $body.attester, $body.ak, $body.evidenceKey,
  $body.chain.id, $body.chain.sequence, $body.chain.previous // "", $body.made, $body.logPcr,
  $body.logs[0].length, $body.logs[0].digest, .quote.attest, .quote.signature,
  ([.quote.pcrs[][1]] | join("")),
  (.quote.pcrs[] | select(.[0] == $body.logPcr) | .[1]),
  ([0, 8, 16] | map(. as $from | reduce ($pcrs[] | select(. >= $from and . < $from + 8)) as $pcr (0; . + pow(2; $pcr - $from)))
    | map(tostring) | join(" ")),
  ($body.logs | length == 1 and .[0].name == "assay"),
  ($body.selection.bank == "sha256" and $pcrs == ($pcrs | map(select(. >= 0 and . < 24 and . == floor)) | unique)),
  ([.quote.pcrs[][0]] == $pcrs),
  (.quote.audit | .commands // [] | map(tostring) | join(" ")), (.quote.audit | .attest // "", .signature // "")
] | map("=" + tostring) | @tsv' "$work/payload" >"$work/fields" 2>/dev/null || stop 'payload: its members'
tab=$(printf '\t')
IFS=$tab read -r kind shown_nonce shown_channel recovered attester ak_name evidence_key chain sequence previous made log_pcr \
  length log_digest attest signature values log_value select one_log one_bank listed commands audit audit_signature rest <"$work/fields"
[ -z "$rest" ] && [ -n "$audit_signature" ] || stop 'payload: its members'

case $kind in
  =answer | =report) ok "body: of kind ${kind#=}" ;;
  *) stop 'body: an answer or a report' ;;
esac
holds 'body: one log, of this project' is "$one_log" =true
holds 'body: PCRs of the sha256 bank, ascending, each once' is "$one_bank" =true
evidence_key=$(printf %s "${evidence_key#=}" | base64 -d 2>/dev/null | hex)
holds 'body: names the evidence key' is "$evidence_key" "${spki#????????????????????????}"

# --- what was asked ---------------------------------------------------------------------------------------------------
case $nonce in
  *[!0-9a-f]*) nonce=$(printf %s "$nonce" | base64 -d 2>/dev/null | hex) ;;
esac
shown_nonce=$(printf %s "${shown_nonce#=}" | base64 -d 2>/dev/null | hex)
shown_channel=$(printf %s "${shown_channel#=}" | base64 -d 2>/dev/null | hex)
if [ $# -eq 2 ]; then
  holds 'nonce: the one that was asked with' is "$kind/$nonce" "=answer/$shown_nonce"
else
  skip 'nonce: not given, so nothing is said of freshness'
fi
if [ -n "$channel" ]; then
  holds 'channel: the one that it was asked on' is "$channel" "$shown_channel"
else
  skip 'channel: only the two ends of the connection can compare it'
fi
if [ -n "$secret" ]; then
  holds 'credential: recovered' is "$recovered" =recovered
else
  holds 'credential: none claimed where no secret is given' is "$recovered" =none
fi

# --- the attestation key ----------------------------------------------------------------------------------------------
area=$(hex <"$ak")
attributes=$((0x0$(printf %s "$area" | cut -c9-16)))
case $(printf %s "$area" | cut -c5-8) in
  000b) name=000b$(sha256sum <"$ak" | cut -c1-64) ;;
  000c) name=000c$(sha384sum <"$ak" | cut -c1-96) ;;
  *) name=none ;;
esac
holds 'AK: the body names it' is "$ak_name" "=$name"
# restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin; not decrypt
holds 'AK: signs only what its own TPM made' is $((attributes & 0x00070032)) $((0x00050032))

# --- the quote --------------------------------------------------------------------------------------------------------
field() { printf '%04x%s' $((${#1} / 2)) "$1"; }
selection=00000001000b03$(for byte in ${select#=}; do printf %02x "$byte"; done)
qualifying_data=$({
  field "$(printf assay/qualifying-data/v1 | hex)"
  field "$shown_nonce"
  field "$shown_channel"
  field "$secret"
  field "${attester#=}"
  field "$selection"
  field "${chain#=}"
  field "$(printf %016x "${sequence#=}" 2>/dev/null)"
  field "${previous#=}"
  field "${log_digest#=}"
  field "$evidence_key"
  field "$(digest <"$work/body")"
} | bytes | digest)

printf %s "${attest#=}" | base64 -d >"$work/attest" 2>/dev/null
printf %s "${signature#=}" | base64 -d >"$work/signature" 2>/dev/null
holds 'quote: base64 in the one way' is "$attest/$signature" "=$(base64 -w0 "$work/attest")/=$(base64 -w0 "$work/signature")"
{ printf '%04x' "$(wc -c <"$ak")" | bytes && cat "$ak"; } >"$work/ak.tpm2b"
holds 'quote: signed by the AK over the qualifying data rebuilt here' tpm2_checkquote \
  -u "$work/ak.tpm2b" -m "$work/attest" -s "$work/signature" -g sha256 -q "$qualifying_data"

attest=$(hex <"$work/attest")
holds 'quote: TPMS_ATTEST of TPM2_Quote' is "$(printf %s "$attest" | cut -c1-12)" ff5443478018
holds 'quote: signature with SHA-256' is "$(hex <"$work/signature" | cut -c5-8)" 000b
holds 'quote: the selected PCRs are listed' is "$listed" =true
end=${selection}0020$(printf %s "${values#=}" | bytes 2>/dev/null | digest)
holds 'quote: covers this selection, and these values' is "${attest%"$end"}$end" "$attest"

# --- command audit of TPM2_PCR_Reset (0x13d; 0x140 changes what is audited, and always is) -----------------------------
# resetCount and restartCount: after two counted fields (qualifiedSigner, extraData) and the clock
counters() {
  rest=$(printf %s "$1" | cut -c13-)
  for _ in 1 2; do
    size=$((0x0$(printf %s "$rest" | cut -c1-4)))
    rest=$(printf %s "$rest" | cut -c$((5 + 2 * size))-)
  done
  echo $((0x0$(printf %s "$rest" | cut -c17-24))).$((0x0$(printf %s "$rest" | cut -c25-32)))
}
if [ "$audit" = '=' ]; then
  skip 'audit: unavailable, so a PCR may have been reset before anybody saw what it held'
else
  printf %s "${audit#=}" | base64 -d >"$work/audit" 2>/dev/null
  printf %s "${audit_signature#=}" | base64 -d >"$work/audit.signature" 2>/dev/null
  bound=$({
    field "$(printf assay/command-audit/v1 | hex)"
    field "$shown_nonce"
    field "$(digest <"$work/attest")"
  } | bytes | digest)
  audit=$(hex <"$work/audit")
  holds 'audit: signed by the AK over the nonce and this very quote' tpm2_checkquote \
    -u "$work/ak.tpm2b" -m "$work/audit" -s "$work/audit.signature" -g sha256 -q "$bound"
  holds 'audit: TPMS_ATTEST of TPM2_GetCommandAuditDigest' is "$(printf %s "$audit" | cut -c1-12)" ff5443478015
  holds "audit: of the quote's epoch" is "$(counters "$audit")" "$(counters "$attest")"
  # it ends with the algorithm, the digest over what was audited since the last reading, and that over the commands' codes
  codes=$(for code in ${commands#=}; do printf %08x "$code"; done)
  holds 'audit: of TPM2_PCR_Reset, and of nothing else' is "$codes" 0000013d00000140
  case $audit in
    *000b0000"0020$(printf %s "$codes" | bytes | sha256sum | cut -c1-64)") ok 'audit: no PCR was reset since it was read last' ;;
    *000c0000"0030$(printf %s "$codes" | bytes | sha384sum | cut -c1-96)") ok 'audit: no PCR was reset since it was read last' ;;
    *000d0000"0040$(printf %s "$codes" | bytes | sha512sum | cut -c1-128)") ok 'audit: no PCR was reset since it was read last' ;;
    *) fail 'audit: no PCR was reset since it was read last' ;;
  esac
fi

# --- the log ----------------------------------------------------------------------------------------------------------
length=${length#=}
head -c "$length" "$folder/assay.cel" >"$work/log" 2>/dev/null || stop 'log: its length'
holds 'log: as long as the body says' is "$(wc -c <"$work/log")" "$length"
holds 'log: has the digest that was quoted' is "=$(digest <"$work/log")" "$log_digest"
jq -c . "$work/log" >"$work/again" 2>/dev/null || stop 'log: one JSON record a line'
holds 'log: written in the one way' cmp -s "$work/again" "$work/log"

# of each record: its number, PCR, kind of content, sha256 digest, content in base64, and its counters if it opens an epoch
jq -r '[.recnum, .pcr, .content_type, ([.digests[] | select(.hashAlg == "sha256") | .digest] | join("+")), (.content | @base64),
  (.content | fromjson | if .type == "assay.epoch.v1" then "\(.resetCount).\(.restartCount)" else "" end)]
  | map("=" + tostring) | @tsv' "$work/log" >"$work/records" 2>/dev/null || stop 'log: records of events'
pcr=0000000000000000000000000000000000000000000000000000000000000000
epochs='' records=0 strange=0
while IFS=$tab read -r recnum own content_type said content epoch; do
  [ "$recnum$own$content_type" = "=$records$log_pcr=assay" ] &&
    [ "$said" = "=$(printf %s "${content#=}" | base64 -d | digest)" ] || strange=$((strange + 1))
  pcr=$(printf %s%s "$pcr" "${said#=}" | bytes 2>/dev/null | digest)
  [ "$epoch" = '=' ] || epochs="$epochs$records:${epoch#=} "
  records=$((records + 1))
done <"$work/records"
holds 'log: records numbered from 0, of its PCR, with digests of their contents' is $strange 0
holds "log: reproduces PCR ${log_pcr#=}" is "=$pcr" "$log_value"

counters=$(counters "$attest")
# first, or second where a suspend left the record before it alone in the PCR
[ "$epochs" != "1:$counters " ] || epochs="0:$counters "
holds 'log: one record at its beginning, and no other, opens the epoch that the quote shows' is "$epochs" "0:$counters "

# --- the logs of the boot: each as long as the evidence says and with its digest, and what each comes to, where it is there ------
value_of() { jq -r ".quote.pcrs[] | select(.[0] == $1) | .[1]" "$work/payload"; }
boot_log() { # name, file: whether the folder holds the bytes that the evidence names, which then lie in $work/boot
  set -- "$1" "$2" $(jq -r --arg name "$1" '.quote.logs[] | select(.name == $name) | .state, .length // 0, .digest // "-"' "$work/payload")
  [ "${3-}" = present ] || { skip "$1 log: ${3-not named}"; return 1; }
  head -c "$4" "$folder/$2" >"$work/boot" 2>/dev/null
  holds "$1 log: the bytes that the evidence names" is "$(wc -c <"$work/boot") $(digest <"$work/boot")" "$4 $5"
}
if boot_log firmware binary_bios_measurements; then
  if ! command -v tpm2_eventlog >/dev/null; then skip 'firmware log: tpm2_eventlog is missing'
  else
    tpm2_eventlog "$work/boot" 2>/dev/null | sed -n '/^ *sha256:$/,/^ *sha[0-9]*:$/s/^ *\([0-9][0-9]*\) *: 0x\([0-9a-f]*\)$/\1 \2/p' >"$work/boot.pcrs"
    while read -r index value; do
      quoted=$(value_of "$index")
      [ -z "$quoted" ] || holds "firmware log: comes to the quoted PCR $index" is "$value" "$quoted"
    done <"$work/boot.pcrs"
    [ -s "$work/boot.pcrs" ] || fail 'firmware log: tpm2_eventlog reads it'
  fi
fi
boot_log userspace tpm2-measure.log || :
if boot_log ima binary_runtime_measurements; then
  # an entry: PCR, SHA-1, length and name of the template, length and data, numbers least significant byte first. Zeroes in place of
  # the SHA-1 are a violation, for which the PCR got ones; of all else it got the digest of the data, which is hashed anew
  hex <"$work/boot" | awk '
    function byte(at) { return 16 * (index(digits, substr($0, at, 1)) - 1) + index(digits, substr($0, at + 1, 1)) - 1 }
    function number(at) { return byte(at) + 256 * (byte(at + 2) + 256 * (byte(at + 4) + 256 * byte(at + 6))) }
    BEGIN { digits = "0123456789abcdef" }
    { for (at = 1; at < length($0); at += 64 + 2 * (name + size)) {
        name = number(at + 48)
        size = number(at + 56 + 2 * name)
        violation = substr($0, at + 8, 40) ~ /^0*$/
        print violation ? "-" : substr($0, at + 64 + 2 * name, 2 * size)
    } }' | tr a-f A-F >"$work/entries"
  value=0000000000000000000000000000000000000000000000000000000000000000
  while read -r data; do
    if [ "$data" = - ]; then extended=$(printf %064d 0 | tr 0 f)
    else extended=$(printf %s "$data" | basenc --base16 -d | sha256sum); fi
    value=$(printf %s%.64s "$value" "$extended" | bytes | sha256sum)
    value=${value%% *}
  done <"$work/entries"
  holds 'ima log: comes to the quoted PCR 10' is "$value" "$(value_of 10)"
fi

# --- what a reader compares with what they know from elsewhere --------------------------------------------------------
printf '\nattester      %s\nAK            %s\nevidence key  %s\nevidence      %s\nmade          %s (a claim)\n' \
  "$(printf %s "$attester" | tr -cd '0-9a-f')" "$name" "$(digest <"$work/key.der")" "$(digest <"$work/payload")" \
  "$(printf %s "$made" | tr -cd '0-9A-Z:.-')"
[ $failed -eq 0 ] || exit 4
