/** With which commands does a stranger check an audit folder? A POSIX shell, coreutils, jq and openssl; they are written into the folder. */

export const script = `#!/bin/sh
# Checks this folder with sha256sum, openssl, jq, base64 and basenc alone. Each line is one check; it ends with 0 if all are ok, else with 4.
# Compare vault/log.pem and results.pem with what you know of this collector: they came with the folder.
set -u
cd "$(dirname "$0")" || exit 69
for tool in sha256sum openssl jq base64 basenc; do command -v "$tool" > /dev/null || { echo "$tool is missing"; exit 69; }; done
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
bad=0
say() { if [ "$1" = 0 ]; then echo "ok    $2"; else echo "FAIL  $2"; bad=4; fi; }
bytes() { printf %s "$1" | tr a-f A-F | basenc -d --base16; }
pair() { { printf '\\001'; bytes "$1$2"; } | sha256sum | cut -d' ' -f1; }

sha256sum --quiet -c SHA256SUMS > /dev/null 2>&1; say $? "every file is the one that was written"

sed '/^$/,$d' vault/checkpoint > "$work/text"
origin=$(sed -n 1p "$work/text") size=$(sed -n 2p "$work/text") root=$(sed -n 3p "$work/text" | base64 -d | basenc --base16 | tr A-F a-f | tr -d '\\n')
awk -v o="$origin" '$1 == "\\342\\200\\224" && $2 == o { print $3 }' vault/checkpoint | head -n 1 | base64 -d | tail -c +5 > "$work/sig"
openssl pkeyutl -verify -pubin -inkey vault/log.pem -rawin -in "$work/text" -sigfile "$work/sig" > /dev/null 2>&1
say $? "the vault's owner signed: $size leaves of $origin"
if [ -f vault/checkpoint.tsr ]; then
  openssl ts -verify -data "$work/text" -in vault/checkpoint.tsr -CAfile vault/authority.pem > /dev/null 2>&1
  say $? "a time-stamping authority saw it"
fi

# each leaf: its bytes are those of the file, and its proof leads to the root (RFC 9162, 2.1.3.2)
jq -r '.leaves[] | "\\(.position) \\(.file)"' index.json > "$work/leaves"
leaves=0
while read -r position file; do
  entry=vault/proofs/$position.leaf
  [ "$(jq -r .sha256 "$entry")" = "$(sha256sum < "$file" | cut -d' ' -f1)" ] || { say 1 "leaf $position is not $file"; continue; }
  hash=$({ printf '\\000'; cat "$entry"; } | sha256sum | cut -d' ' -f1) at=$position last=$((size - 1))
  while read -r other; do
    if [ $((at % 2)) = 1 ] || [ "$at" = "$last" ]; then
      hash=$(pair "$other" "$hash")
      while [ $((at % 2)) = 0 ] && [ "$at" != 0 ]; do at=$((at / 2)) last=$((last / 2)); done
    else hash=$(pair "$hash" "$other"); fi
    at=$((at / 2)) last=$((last / 2))
  done < "vault/proofs/$position.proof"
  if [ "$last" = 0 ] && [ "$hash" = "$root" ]; then leaves=$((leaves + 1)); else say 1 "leaf $position does not lead to the root"; fi
done < "$work/leaves"
[ "$leaves" = "$(wc -l < "$work/leaves")" ]; say $? "$leaves leaves lead to the root"

# DSSE: the signature is over "DSSEv1", and type and payload each with its length before it
signed() {
  jq -rj .payload "$1" | base64 -d > "$work/payload"
  jq -rj '.signatures[0].sig' "$1" | base64 -d > "$work/sig"
  type=$(jq -r .payloadType "$1")
  { printf 'DSSEv1 %s %s %s ' "\${#type}" "$type" "$(wc -c < "$work/payload")"; cat "$work/payload"; } > "$work/pae"
  openssl pkeyutl -verify -pubin -inkey "$2" -rawin -in "$work/pae" -sigfile "$work/sig" > /dev/null 2>&1
}
pieces=0 fine=0
for folder in evidence/*/; do
  [ -d "$folder" ] || continue
  pieces=$((pieces + 1))
  signed "$folder/evidence.dsse.json" "$folder/evidence-key.pem" || { say 1 "$folder is not signed by its evidence key"; continue; }
  digest=$(sha256sum < "$work/payload" | cut -d' ' -f1)
  length=$(jq -r '.body.logs[] | select(.name == "assay").length' "$work/payload")
  log=$(jq -r '.body.logs[] | select(.name == "assay").digest' "$work/payload")
  [ "$(head -c "$length" "$folder/assay.cel" | sha256sum | cut -d' ' -f1)" = "$log" ] || { say 1 "the log of $folder is another"; continue; }
  signed "$folder/result.dsse.json" results.pem || { say 1 "the result of $folder is not signed by this collector"; continue; }
  [ "$(jq -r .evidence "$work/payload")" = "$digest" ] || { say 1 "the result of $folder is about something else"; continue; }
  fine=$((fine + 1))
done
[ "$pieces" = "$fine" ]; say $? "$fine pieces of evidence and their results are signed, and their logs are those that were signed"
exit $bad
`

export const readme = (model: string): string => `# An audit of ${model}

This folder is to be checked by somebody who trusts neither who made it nor our programs. Read \`report.html\` after that.

\`\`\`sh
sh verify.sh            # sha256sum, openssl, jq, base64, basenc
\`\`\`

It says \`ok\` or \`FAIL\` for each check, and ends with 0 or 4. Then compare two keys with what you know of this collector from elsewhere:

\`\`\`sh
openssl pkey -pubin -in vault/log.pem -outform DER | sha256sum
openssl pkey -pubin -in results.pem -outform DER | sha256sum
\`\`\`

| file | holds |
|---|---|
| \`report.html\` | what ran when, who stood behind it, and the holes; a page without scripts |
| \`audit.json\` | the same for programs; it is computed from the evidence alone |
| \`evidence/*/\` | one piece each: the envelope, its logs, the keys as enrolled, the collector's result |
| \`decisions/\` | enrolments, policies, pins, approvals, gaps and whatever else people decided, as it was signed |
| \`vault/\` | the signed checkpoint, its key, its witnesses, its time stamp, and a leaf and a proof for every file above |
| \`frameworks.json\` | which controls people map this to, with dates: data, no claim |
| \`SHA256SUMS\` | of every file |

A piece of evidence by hand, down to the TPM's quote, with tpm2-tools: the project's docs/verify-by-hand.sh takes each folder in \`evidence/\`.
A log's bytes in \`assay.cel\` beyond what its evidence names do not belong to it. \`assay audit verify .\` does all of this in one go, offline; it also accepts each policy and pin anew from the policy root, recomputes
\`audit.json\`, and compares \`report.html\` with what it would write.
`
