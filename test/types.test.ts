/**
 * Does the wrong thing not compile? Each `@ts-expect-error` stands above a mistake that the types must refuse; `tsc` fails
 * where one is accepted. None of it runs: the test is the compiler's, and here it is run on this file.
 */
import { execFileSync } from "node:child_process"
import { resolve } from "node:path"
import { expect, test } from "vitest"
import { type Appraisal, appraise, type Context, type Tier } from "../attestation/appraise/appraise.ts"
import { after, type Standing } from "../attestation/appraise/state.ts"
import { payloadTypes, seal } from "../attestation/protocol/dsse.ts"
import type { LogEvent } from "../attestation/protocol/event.ts"
import type { Answer, Body } from "../attestation/protocol/evidence.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { pcrSelection } from "../attestation/tcg/pcr.ts"
import { nameOf, type PublicArea } from "../attestation/tcg/public.ts"
import type { Signature } from "../attestation/tcg/signature.ts"
import { continuity } from "../attestation/verify/continuity.ts"
import { finding, findings } from "../attestation/verify/finding.ts"
import {
  type Asked,
  type Expected,
  type Outcome,
  type PinnedKeys,
  type QuotedPcrs,
  type UntrustedEvidence,
  type VerifiedEvidence,
  verify,
} from "../attestation/verify/verify.ts"
import { encode } from "../attestation/wire/codec.ts"

export function unquotedValuesCannotBeAppraised(evidence: VerifiedEvidence, context: Context): Appraisal[] {
  const read: ReadonlyMap<number, Uint8Array> = new Map([[23, new Uint8Array(32)]])
  return [
    // @ts-expect-error values that somebody read are not values that a TPM signed
    appraise({ ...evidence, quotedPcrs: read }, context),
    // @ts-expect-error a brand is not made by writing its type
    appraise({ ...evidence, quotedPcrs: new Map() satisfies QuotedPcrs }, context),
  ]
}

export function onlyAuthenticEvidenceGoesOn(outcome: Outcome, untrusted: UntrustedEvidence, context: Context): void {
  // @ts-expect-error whether it is authentic must be asked first
  appraise(outcome.evidence, context)
  // @ts-expect-error bytes are not evidence that was verified
  appraise(untrusted, context)
  // @ts-expect-error nor can their continuity be judged
  continuity("nothing seen", untrusted)
  if (!outcome.authentic) {
    // @ts-expect-error refused evidence shows no values
    void outcome.evidence
  }
}

export function nothingIsUnchecked(
  untrusted: UntrustedEvidence,
  keys: PinnedKeys,
  asked: Asked,
  context: Context,
): void {
  // @ts-expect-error what was asked cannot be left out
  verify(untrusted, { keys, pcrs: [0], now: 0 })
  // @ts-expect-error nor what must be covered
  verify(untrusted, { keys, asked, now: 0 })
  // @ts-expect-error nor the time
  verify(untrusted, { keys, asked, pcrs: [0] })
  // @ts-expect-error a channel that is not checked says so in words
  const unsaid: Asked = { kind: "nonce", nonce: new Uint8Array(32), channel: undefined, credential: new Uint8Array(0) }
  // @ts-expect-error an evidence key that is not pinned says so in words
  const unpinned: PinnedKeys = { attester: "", ak: new Uint8Array(0) }
  // @ts-expect-error no reference is said, not left out
  const silent: Context = { endorsement: context.endorsement, findings: [] }
  // @ts-expect-error an accepted EK has somebody who accepts it
  const anonymous: Context = { ...context, endorsement: { kind: "accepted" } }
  void [unsaid, unpinned, silent, anonymous]
}

export function choicesAreUnions(answer: Answer, body: Body, standing: Standing, tier: Tier): void {
  // @ts-expect-error a report says after which evidence it was made
  const report: Body = { ...answer, kind: "report" }
  // @ts-expect-error which kind it is must be asked first
  void body.nonce
  // @ts-expect-error an epoch holds no facts
  const epoch: LogEvent = { type: "assay.epoch.v1", source: "a", subject: "", state: "present", facts: [] }
  // @ts-expect-error a verdict says when its nonce was issued, or null
  after(standing, { tier, resetCount: 0 })
  // @ts-expect-error nothing is trusted
  const trusted: Tier = "trusted"
  void [report, epoch, trusted]
}

export function namesAndNumbersAreKnown(area: PublicArea, expected: Expected): void {
  // @ts-expect-error a finding that has no row
  finding("log.odd", "", "", "")
  // @ts-expect-error the table is not for changing
  findings["log.replay"].effect = "notes"
  // @ts-expect-error what is expected is not for changing
  expected.now = 0
  // @ts-expect-error there is no such bank
  encode(pcrSelection, { bank: "md5", pcrs: [] })
  // @ts-expect-error an ECDSA signature has two numbers
  const signature: Signature = { kind: "ecdsa", hash: "sha256", value: new Uint8Array(0) }
  // @ts-expect-error the Name is of a public area, not of any bytes
  nameOf(area.bytes)
  // @ts-expect-error a credential needs chance from outside
  makeCredential(area, new Uint8Array(0), new Uint8Array(0))
  // @ts-expect-error nothing else is sealed
  seal("text/plain", new Uint8Array(0), new Uint8Array(32), message => message)
  void [signature, payloadTypes]
}

test("each of these mistakes is refused by the compiler", () => {
  const root = resolve(import.meta.dirname, "..")
  const options = [
    "--noEmit",
    "--ignoreConfig",
    "--strict",
    "--exactOptionalPropertyTypes",
    "--noUncheckedIndexedAccess",
  ]
  const modules = ["--module", "nodenext", "--target", "es2024", "--lib", "es2024", "--types", "node"]
  const imports = ["--allowImportingTsExtensions", "--erasableSyntaxOnly", "--verbatimModuleSyntax", "--skipLibCheck"]
  const args = [...options, ...modules, ...imports, "test/types.test.ts"]
  expect(execFileSync(`${root}/node_modules/.bin/tsc`, args, { cwd: root, encoding: "utf8" })).toBe("")
})
