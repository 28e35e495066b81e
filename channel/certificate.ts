/**
 * In what does a TLS key travel? In a certificate that nobody need believe: self-signed at first; signed by the key of before when there is a
 * successor, which is all that peers look at (`pin.ts`). Node makes no certificates; openssl does.
 */
import { Hinted } from "../attestation/wire/hinted.ts"
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A program is missing. A process that meets it exits with 69 (EX_UNAVAILABLE). */
export class ProgramMissing extends Hinted {
  constructor(program: string) {
    super(
      `${program} is not on the PATH, and there is no /usr/bin/${program}`,
      `install ${program}: apt-get install ${program}`,
    )
  }
}

/** A century: nothing is concluded from it. */
const days = ["-days", "36500", "-sha256"]

/** The certificate in PEM of the key in `keyFile`, over itself. Throws {@link ProgramMissing}. */
export const selfSigned = (keyFile: string, name: string): string =>
  openssl(["req", "-x509", "-key", keyFile, ...days, "-subj", `/CN=${name}`], "")

/** The certificate in PEM of the key in `keyFile`, signed by the key in `by` whose certificate is in `issuer`. Throws {@link ProgramMissing}. */
export function successorOf(keyFile: string, name: string, by: string, issuer: string): string {
  const folder = mkdtempSync(join(tmpdir(), "assay-successor-"))
  try {
    const extensions = join(folder, "extensions")
    writeFileSync(extensions, "basicConstraints=critical,CA:TRUE\n")
    const request = openssl(["req", "-new", "-key", keyFile, "-subj", `/CN=${name}`], "")
    return openssl(["x509", "-req", "-CA", issuer, "-CAkey", by, ...days, "-extfile", extensions], request)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function openssl(args: readonly string[], input: string): string {
  const program = existsSync("/usr/bin/openssl") ? "/usr/bin/openssl" : "openssl"
  try {
    return execFileSync(program, args, { encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] })
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") throw new ProgramMissing("openssl")
    throw error
  }
}
