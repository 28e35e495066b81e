#!/usr/bin/env node
/**
 * Which arguments does each ESYS function take? This script reads them from the compiler's view of the tpm2-tss headers
 * and writes esys-table.ts. It needs gcc and libtss2-dev; nothing else here does, since its output is checked in.
 *
 *   node node-tpm2/generate.mjs           rewrites the table
 *   node node-tpm2/generate.mjs --check   exits 1 when the headers give another table than the one checked in
 *
 * Grammar of a line: one word per argument after the context, in order. `tr` and `u8`…`u64`, `i8`, `i32` are numbers;
 * any other word is a structure, crossing as its TPM wire bytes; a leading `>` marks an output.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const TABLE = new URL("esys-table.ts", import.meta.url)

/** Left out: the split halves, the context's own life (esys.ts), vendor corners, and blobs that must not come from disk. */
const LEFT_OUT =
  /_(Async|Finish)$|^(Initialize|Finalize|Free|GetTcti|GetPollHandles|SetTimeout|GetSysContext|SetCryptoCallbacks)$|^TR_(Serialize|Deserialize|Close|GetTpmHandle)$|^AC_|^Policy_AC|^Vendor/

const SCALARS = {
  ESYS_TR: "tr",
  UINT8: "u8",
  UINT16: "u16",
  UINT32: "u32",
  UINT64: "u64",
  INT32: "i32",
  TPM2_HANDLE: "u32",
  TPM2_CAP: "u32",
  TPM2_CC: "u32",
  TPM2_RC: "u32",
  TPM2_SU: "u16",
  TPM2_SE: "u8",
  TPM2_EO: "u16",
  TPM2_CLOCK_ADJUST: "i8",
  TPMI_YES_NO: "u8",
  TPMI_ALG_HASH: "u16",
  TPMI_ALG_CIPHER_MODE: "u16",
  TPMI_ECC_CURVE: "u16",
  TPMI_ECC_KEY_EXCHANGE: "u16",
  TPMI_DH_PERSISTENT: "u32",
  TPMI_DH_PCR: "u32",
  TPMA_LOCALITY: "u8",
  TPMA_SESSION: "u8",
}

/** Type definitions that share the codec of another structure. */
const SAME_CODEC = {
  TPM2B_NONCE: "TPM2B_DIGEST",
  TPM2B_AUTH: "TPM2B_DIGEST",
  TPM2B_OPERAND: "TPM2B_DIGEST",
  TPM2B_TIMEOUT: "TPM2B_DIGEST",
}

/** The prototypes of every function in both headers, one a line, as gcc understood them. */
function prototypes() {
  const folder = mkdtempSync(join(tmpdir(), "esys-table-"))
  try {
    const source = join(folder, "all.c")
    const listing = join(folder, "all.txt")
    writeFileSync(source, "#include <tss2/tss2_esys.h>\n#include <tss2/tss2_mu.h>\n")
    execFileSync("gcc", ["-aux-info", listing, "-c", source, "-o", join(folder, "all.o")])
    return readFileSync(listing, "utf8")
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** One C argument as a word of the grammar. */
function word(argument, command) {
  const [, name, stars] = /^(?:const )?(\w+)( \*{1,2})?$/.exec(argument) ?? []
  const depth = (stars ?? "").trim().length
  const scalar = SCALARS[name]
  if (scalar !== undefined && depth < 2) return depth === 0 ? scalar : `>${scalar}`
  if (name === undefined || scalar !== undefined || depth === 0) throw new Error(`${command}: unknown "${argument}"`)
  return (depth === 2 ? ">" : "") + (SAME_CODEC[name] ?? name)
}

function grammar(listing) {
  const table = {}
  for (const [, command, list] of listing.matchAll(/extern TSS2_RC Esys_(\w+) \(ESYS_CONTEXT \*, ?(.*)\);/g)) {
    if (!LEFT_OUT.test(command))
      table[command] = list
        .split(", ")
        .map(argument => word(argument, command))
        .join(" ")
  }
  return table
}

/** Every structure needs both directions in the marshalling library. */
function refuseMissingCodecs(table, listing) {
  const words = Object.values(table).flatMap(line => line.split(" "))
  const structures = new Set(words.map(item => item.replace(">", "")).filter(item => item.startsWith("TPM")))
  for (const name of structures) {
    for (const way of ["Marshal", "Unmarshal"]) {
      if (!listing.includes(`Tss2_MU_${name}_${way} (`)) throw new Error(`no Tss2_MU_${name}_${way}`)
    }
  }
}

const listing = prototypes()
const table = grammar(listing)
refuseMissingCodecs(table, listing)

const lines = Object.entries(table).map(([command, words]) => {
  const oneLine = `  ${command}: "${words}",`
  return oneLine.length <= 120 ? oneLine : `  ${command}:\n    "${words}",`
})
const text = `/**
 * Which arguments does each ESYS function take, after the context? Written by generate.mjs from tss2_esys.h, whose
 * opening comment holds the grammar; esys.ts reads it. Do not edit.
 */
export const ESYS = {
${lines.join("\n")}
} as const
`

if (!process.argv.includes("--check")) writeFileSync(TABLE, text)
else if (readFileSync(TABLE, "utf8") !== text) {
  process.stderr.write("esys-table.ts differs from the headers: run node node-tpm2/generate.mjs\n")
  process.exitCode = 1
}
