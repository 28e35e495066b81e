/**
 * Where does a test get a TPM from? A real software TPM (swtpm) of its own, copied from a template with endorsement
 * certificates that is made once per machine and user. What is tested with it stands in the tests.
 */
import { execFile } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { endOf, launchTpm, manufactureTpm, stateFile, tctiOf } from "../scripts/swtpm.ts"

const run = promisify(execFile)

/** How a TPM is made. */
export interface SwtpmOptions {
  /** Whether it has EK certificates (RSA-2048, P-384) and a platform certificate, and persistent EKs. Default: yes. */
  readonly endorsed?: boolean
  /** TPMs of one identity have the same EKs; another word gives another machine, of the same CA. Default: `first`. */
  readonly identity?: string
}

/** A running swtpm. */
export interface Swtpm {
  /** For openTpm, with `allowSoftware`. */
  readonly tcti: string
  /** State, socket (`s`), and room for a test's own files. Removed by {@link Swtpm.stop}. */
  readonly directory: string
  /** For tpm2-tools: TPM2TOOLS_TCTI names this TPM. */
  readonly environment: NodeJS.ProcessEnv
  readonly pid: number
  /** Runs one of tpm2-tools (or any program) in {@link Swtpm.directory}; gives its stdout. */
  tool(program: string, ...args: readonly string[]): Promise<string>
  /** Sends a signal; after SIGKILL and SIGTERM waits for the end. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Power off and on: PCRs and loaded objects are gone, seeds, NV and persistent objects stay. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** The certificates that vouch for the EKs. */
export interface SwtpmAuthority {
  readonly rootCertificate: string
  readonly issuerCertificate: string
}

const CACHE = join(tmpdir(), `assay-swtpm-${userInfo().uid}-v1`)
const AUTHORITY = join(CACHE, "ca")
const BANKS = "sha256,sha384"

/** PEM files of the CA whose EK certificates the endorsed TPMs hold. Exist after the first {@link startSwtpm}. */
export const swtpmAuthority: SwtpmAuthority = {
  rootCertificate: join(AUTHORITY, "swtpm-localca-rootca-cert.pem"),
  issuerCertificate: join(AUTHORITY, "issuercert.pem"),
}

/** Starts a TPM whose PCR banks are sha256 and sha384. */
export async function startSwtpm(options: SwtpmOptions = {}): Promise<Swtpm> {
  const template = await templateOf(options.endorsed ?? true, options.identity ?? "first")
  const directory = mkdtempSync(join(tmpdir(), "swtpm-"))
  copyFileSync(template, join(directory, stateFile))
  let child = await launchTpm(directory)
  const tcti = tctiOf(directory)
  const environment = { ...process.env, TPM2TOOLS_TCTI: tcti, TSS2_LOG: "all+none" }
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    const ended = signal === "SIGKILL" || signal === "SIGTERM" ? endOf(child) : undefined
    child.kill(signal)
    await ended
  }
  return {
    tcti,
    directory,
    environment,
    kill,
    get pid() {
      return child.pid ?? 0
    },
    async tool(program, ...args) {
      return (await run(program, args, { cwd: directory, env: environment })).stdout
    },
    async restart() {
      await kill("SIGTERM")
      child = await launchTpm(directory)
    },
    async stop() {
      await kill("SIGKILL")
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/**
 * The state of a freshly manufactured TPM. Test files run side by side, and each may be the first: whoever is, makes it
 * in a folder of its own and renames that into place; who comes second finds the place taken and uses the other's.
 */
async function templateOf(endorsed: boolean, identity: string): Promise<string> {
  const place = join(CACHE, `${endorsed ? "endorsed" : "bare"}-${identity}`)
  const state = join(place, stateFile)
  if (existsSync(state)) return state
  mkdirSync(CACHE, { recursive: true, mode: 0o700 })
  const workshop = mkdtempSync(join(CACHE, "making-"))
  await manufactureTpm(workshop, { endorsed, banks: BANKS, authority: AUTHORITY })
  try {
    renameSync(workshop, place)
  } catch {
    rmSync(workshop, { recursive: true })
  }
  return state
}
