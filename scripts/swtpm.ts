/**
 * Where does a software TPM come from? swtpm_setup manufactures its state, with endorsement certificates by an authority of our
 * own; swtpm runs it behind a Unix socket. Used by the main job and by tests; never by the product.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { userInfo } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { promisify } from "node:util"

const run = promisify(execFile)

/** The file that holds a TPM's whole state. */
export const stateFile = "tpm2-00.permall"

/** How a TPM is made: whether it has EKs and certificates for them, and which PCR banks are active ("sha256,sha384"). */
export type Manufacture = {
  readonly endorsed: boolean
  readonly banks: string
  /** folder of the authority that signs the certificates; made at the first use */
  readonly authority: string
}

/** Makes a TPM's state in `folder`. swtpm_setup is given a configuration of its own, since the system's names what only root may write. */
export async function manufactureTpm(folder: string, { endorsed, banks, authority }: Manufacture): Promise<void> {
  mkdirSync(authority, { recursive: true, mode: 0o700 })
  const configuration = writeConfiguration(folder, authority)
  const certificates = ["--createek", "--create-ek-cert", "--create-platform-cert", "--lock-nvram"]
  const user = userInfo()
  const log = join(folder, "setup.log")
  const files = ["--tpm2", "--tpmstate", folder, "--config", configuration, "--logfile", log, "--pcr-banks", banks]
  const runAs = user.uid === 0 ? ["--runas", user.username] : []
  const args = [...files, ...runAs, ...(endorsed ? certificates : [])]
  try {
    await run("swtpm_setup", args, { env: { ...process.env, XDG_CONFIG_HOME: folder } })
  } catch (cause) {
    throw new Error(`swtpm_setup failed: ${existsSync(log) ? readFileSync(log, "utf8") : ""}`, { cause })
  }
}

function writeConfiguration(folder: string, authority: string): string {
  const paths = { ca: join(folder, "localca.conf"), options: join(folder, "localca.options") }
  const keys = { statedir: "", signingkey: "signkey.pem", issuercert: "issuercert.pem", certserial: "certserial" }
  const lines = Object.entries(keys).map(([key, file]) => `${key} = ${join(authority, file)}\n`)
  writeFileSync(paths.ca, lines.join(""))
  writeFileSync(paths.options, "--platform-manufacturer Assay\n--platform-version 1\n--platform-model Workstation\n")
  const tools = { tool: inPath("swtpm_localca"), tool_config: paths.ca, tool_options: paths.options }
  const setup = join(folder, "setup.conf")
  const rows = Object.entries(tools).map(([key, value]) => `create_certs_${key} = ${value}\n`)
  writeFileSync(setup, rows.join(""))
  return setup
}

/** swtpm_setup wants the whole path of the program that signs. */
function inPath(program: string): string {
  const folders = (process.env["PATH"] ?? "").split(":")
  return folders.map(folder => join(folder, program)).find(existsSync) ?? program
}

/** The socket of the TPM in `folder`, as a TCTI names it. */
export const tctiOf = (folder: string): string => `swtpm:path=${join(folder, "s")}`

/** Powers on the TPM whose state lies in `folder`; resolves when it answers. It dies with the process that started it. */
export async function launchTpm(folder: string): Promise<ChildProcess> {
  const socket = join(folder, "s")
  for (const path of [socket, `${socket}.ctrl`]) rmSync(path, { force: true })
  const state = ["--tpm2", "--tpmstate", `dir=${folder}`, "--flags", "not-need-init,startup-clear"]
  const server = ["--server", `type=unixio,path=${socket}`, "--ctrl", `type=unixio,path=${socket}.ctrl`]
  const log = ["--log", `file=${join(folder, "log")},level=1`]
  const args = ["--pdeathsig", "KILL", "swtpm", "socket", ...state, ...server, ...log]
  const child = spawn("setpriv", args, { stdio: "ignore", detached: true })
  const missing = new Promise<never>((_, reject) => child.once("error", reject))
  await Promise.race([missing, listening(child, folder)])
  return child
}

async function listening(child: ChildProcess, folder: string): Promise<void> {
  const socket = join(folder, "s")
  while (!(existsSync(socket) && (await accepts(`${socket}.ctrl`)))) {
    if (hasEnded(child)) throw new Error(`swtpm ended: ${readFileSync(join(folder, "log"), "utf8")}`)
    await delay(2)
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path)
    socket.once("error", () => resolve(false))
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
  })
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

/** Resolves when the process has ended. */
export async function endOf(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) await new Promise(resolve => child.once("exit", resolve))
}
