/**
 * Where does a test get a TPM from? A real software TPM (swtpm) of its own, copied from a template with endorsement
 * certificates that is made once per machine and user. What is tested with it stands in the tests.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { connect } from "node:net"
import { tmpdir, userInfo } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { promisify } from "node:util"

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
const STATE = "tpm2-00.permall"
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
  copyFileSync(template, join(directory, STATE))
  let child = await launch(directory)
  const tcti = `swtpm:path=${join(directory, "s")}`
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
      child = await launch(directory)
    },
    async stop() {
      await kill("SIGKILL")
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** pdeathsig: a test runner that is killed takes its TPMs with it. */
async function launch(directory: string): Promise<ChildProcess> {
  const socket = join(directory, "s")
  for (const path of [socket, `${socket}.ctrl`]) rmSync(path, { force: true })
  const state = ["--tpm2", "--tpmstate", `dir=${directory}`, "--flags", "not-need-init,startup-clear"]
  const server = ["--server", `type=unixio,path=${socket}`, "--ctrl", `type=unixio,path=${socket}.ctrl`]
  const log = ["--log", `file=${join(directory, "log")},level=1`]
  const swtpm = ["swtpm", "socket", ...state, ...server, ...log]
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...swtpm], { stdio: "ignore" })
  const missing = new Promise<never>((_, reject) => child.once("error", reject))
  await Promise.race([missing, listening(child, directory)])
  return child
}

async function listening(child: ChildProcess, directory: string): Promise<void> {
  const socket = join(directory, "s")
  while (!(existsSync(socket) && (await accepts(`${socket}.ctrl`)))) {
    if (hasEnded(child)) throw new Error(`swtpm ended: ${readFileSync(join(directory, "log"), "utf8")}`)
    await delay(2)
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function endOf(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) await new Promise(resolve => child.once("exit", resolve))
}

/**
 * The state of a freshly manufactured TPM. Test files run side by side, and each may be the first: whoever is, makes it
 * in a folder of its own and renames that into place; who comes second finds the place taken and uses the other's.
 */
async function templateOf(endorsed: boolean, identity: string): Promise<string> {
  const place = join(CACHE, `${endorsed ? "endorsed" : "bare"}-${identity}`)
  const state = join(place, STATE)
  if (existsSync(state)) return state
  mkdirSync(AUTHORITY, { recursive: true, mode: 0o700 })
  const workshop = mkdtempSync(join(CACHE, "making-"))
  await manufacture(workshop, endorsed)
  try {
    renameSync(workshop, place)
  } catch {
    rmSync(workshop, { recursive: true })
  }
  return state
}

/** swtpm_setup with a configuration of its own, since the system's names a folder that only root may write. */
async function manufacture(folder: string, endorsed: boolean): Promise<void> {
  const configuration = writeConfiguration(folder)
  const certificates = ["--createek", "--create-ek-cert", "--create-platform-cert", "--lock-nvram"]
  const user = userInfo()
  const state = ["--tpm2", "--tpmstate", folder, "--pcr-banks", BANKS]
  const files = ["--config", configuration, "--logfile", join(folder, "log")]
  const runAs = user.uid === 0 ? ["--runas", user.username] : []
  const args = [...state, ...files, ...runAs, ...(endorsed ? certificates : [])]
  try {
    await run("swtpm_setup", args, { env: { ...process.env, XDG_CONFIG_HOME: folder } })
  } catch (cause) {
    const log = join(folder, "log")
    throw new Error(`swtpm_setup failed: ${existsSync(log) ? readFileSync(log, "utf8") : ""}`, { cause })
  }
}

function writeConfiguration(folder: string): string {
  const authority = join(folder, "localca.conf")
  const options = join(folder, "localca.options")
  const setup = join(folder, "setup.conf")
  const keys = { statedir: "", signingkey: "signkey.pem", issuercert: "issuercert.pem", certserial: "certserial" }
  writeFileSync(
    authority,
    lines(keys, (key, file) => `${key} = ${join(AUTHORITY, file)}`),
  )
  const platform = { manufacturer: "Assay", version: "1", model: "Workstation" }
  writeFileSync(
    options,
    lines(platform, (key, value) => `--platform-${key} ${value}`),
  )
  const tools = { tool: inPath("swtpm_localca"), tool_config: authority, tool_options: options }
  writeFileSync(
    setup,
    lines(tools, (key, value) => `create_certs_${key}= ${value}`),
  )
  return setup
}

/** swtpm_setup wants the whole path of the program that signs. */
function inPath(program: string): string {
  const folders = (process.env["PATH"] ?? "").split(":")
  return folders.map(folder => join(folder, program)).find(existsSync) ?? program
}

const lines = (values: Record<string, string>, line: (key: string, value: string) => string): string =>
  Object.entries(values)
    .map(([key, value]) => `${line(key, value)}\n`)
    .join("")
