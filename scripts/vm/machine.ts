/**
 * How does a machine with UEFI firmware, Secure Boot and a TPM run on this one, be switched off in order, and lose its power? As an
 * emulator and a software TPM, in a folder that holds all of its state. What is installed on it is left to the cases.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { endOf, manufactureTpm } from "../swtpm.ts"
import { Control, type Ran } from "./control.ts"
import { Late, until } from "./patience.ts"
import { Qmp } from "./qmp.ts"

const firmware = "/usr/share/OVMF"

/** Generous: the two cores may be everybody's. Nothing is judged by how long it took, but what does not come at all must end. */
export const deadlines = { boot: 600, off: 300, script: 600 } as const

/** Statuses with which a script may end, and how long it may take. */
type Bounds = { readonly good?: readonly number[]; readonly seconds?: number }

/** With Microsoft's keys, which signed Debian's shim, or without any: the same firmware, which then checks nothing. */
export type SecureBoot = "on" | "off"

export class Machine {
  readonly folder: string
  /** the path of a Unix socket holds 108 bytes, and a checkout may lie deep */
  readonly sockets = mkdtempSync(join(tmpdir(), "assay-vm-"))
  #tpm: ChildProcess | undefined
  #emulator: ChildProcess | undefined
  #control: Control | undefined
  #qmp: Qmp | undefined

  /** A machine whose state is, or will be, in `folder`: disk.qcow2, weights.raw, tpm/, and the firmware's variables. */
  constructor(folder: string) {
    this.folder = folder
  }

  /** A new machine: a disk over `base`, which it does not change, and a TPM with certificates by an authority of ours. */
  static async make(folder: string, base: string, authority: string): Promise<Machine> {
    const machine = new Machine(folder)
    mkdirSync(join(folder, "tpm"), { recursive: true })
    overlay(base, join(folder, "disk.qcow2"))
    models(join(folder, "weights.raw"))
    copyFileSync(join(firmware, "OVMF_VARS_4M.ms.fd"), join(folder, "secure-boot-on.fd"))
    copyFileSync(join(firmware, "OVMF_VARS_4M.fd"), join(folder, "secure-boot-off.fd"))
    await manufactureTpm(join(folder, "tpm"), { endorsed: true, banks: "sha256", authority })
    return machine
  }

  /** Switches on; resolves when the machine takes scripts. */
  async start(secureBoot: SecureBoot = "on"): Promise<void> {
    this.#tpm = this.#startTpm()
    await appears(join(this.sockets, "tpm.sock"))
    this.#emulator = this.#startEmulator(secureBoot)
    await appears(join(this.sockets, "control.sock"), () => this.#ended())
    this.#control = await Control.open(join(this.sockets, "control.sock"))
    this.#qmp = await Qmp.open(join(this.sockets, "qmp.sock"))
    await this.#comesUp(0)
  }

  /** Runs a script as root. @throws Error with what it said unless it ends with a status among `good` */
  async run(script: string, { good = [0], seconds = deadlines.script }: Bounds = {}): Promise<Ran> {
    const ran = await this.#within(this.#connected().run(script), seconds, `the script did not end: ${script}`)
    if (good.includes(ran.status)) return ran
    throw new Error(`a script ended with ${ran.status}: ${script}\n${ran.err.trim()}\n${ran.out.trim()}`)
  }

  /** What a script says on stdout, less the last line's end. */
  async says(script: string): Promise<string> {
    return (await this.run(script)).out.trimEnd()
  }

  /** A warm reboot, in order. */
  async reboot(): Promise<void> {
    const before = this.#connected().greeted
    await this.run("systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")
    await this.#comesUp(before)
  }

  /** Switches off in order: the kernel says TPM2_Shutdown. */
  async powerOff(): Promise<void> {
    await this.run("systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl poweroff")
    const emulator = this.#emulator
    if (emulator) await this.#within(endOf(emulator), deadlines.off, "the machine did not switch off")
    await this.#clear()
  }

  /** The power fails: neither the machine nor its TPM does anything more. */
  async cut(): Promise<void> {
    this.#emulator?.kill("SIGKILL")
    this.#tpm?.kill("SIGKILL")
    if (this.#emulator) await endOf(this.#emulator)
    await this.#clear()
  }

  /** The TPM alone fails. */
  async killTpm(): Promise<void> {
    this.#tpm?.kill("SIGKILL")
    if (this.#tpm) await endOf(this.#tpm)
  }

  /** The cable is drawn, or put in again. */
  async network(up: boolean): Promise<void> {
    await this.#qmp?.execute("set_link", { name: "net0", up })
  }

  /** Sleeps (ACPI S3) and is woken; resolves when it takes scripts again. */
  async sleep(seconds: number): Promise<void> {
    const count = (name: string): number => this.#qmp?.events.filter(event => event === name).length ?? 0
    const before = count("SUSPEND")
    await this.run("systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms systemctl suspend")
    await until(() => count("SUSPEND") > before, 120, "the machine did not fall asleep")
    await delay(seconds * 1000)
    await this.#qmp?.execute("system_wakeup")
    await this.run("true", { seconds: 120 })
  }

  get running(): boolean {
    return this.#emulator !== undefined && !this.#ended()
  }

  /** CPU-seconds that the emulator has used so far. */
  get cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.#emulator?.pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")
    return (Number(fields[11]) + Number(fields[12])) / 100
  }

  /** What it said on its serial console. */
  get console(): string {
    const path = join(this.folder, "console.log")
    return existsSync(path) ? readFileSync(path, "utf8") : ""
  }

  #connected(): Control {
    if (!this.#control) throw new Error("the machine is off")
    return this.#control
  }

  /** Ends what runs, and removes what only a running machine needs. */
  async close(): Promise<void> {
    if (this.running) await this.cut()
    rmSync(this.sockets, { recursive: true, force: true })
  }

  async #comesUp(before: number): Promise<void> {
    const gone = this.#emulator ? endOf(this.#emulator).then(() => Promise.reject(new Error("the emulator ended"))) : []
    const up = Promise.race([this.#connected().comesUp(before), gone])
    await this.#within(up, deadlines.boot, "the machine did not come up")
  }

  async #within<T>(what: Promise<T>, seconds: number, otherwise: string): Promise<T> {
    const timer = new AbortController()
    const late = delay(seconds * 1000, undefined, { signal: timer.signal }).then(() => {
      throw new Late(`${otherwise} (within ${seconds} s)\n${this.console.slice(-2000)}`)
    })
    late.catch(() => undefined)
    return Promise.race([what, late]).finally(() => timer.abort())
  }

  async #clear(): Promise<void> {
    this.#control?.forget()
    this.#control?.close()
    this.#qmp?.close()
    if (this.#tpm) {
      const late = setTimeout(() => this.#tpm?.kill("SIGKILL"), 5000)
      await endOf(this.#tpm)
      clearTimeout(late)
    }
    this.#control = undefined
    this.#qmp = undefined
    this.#emulator = undefined
    this.#tpm = undefined
  }

  #ended(): boolean {
    return this.#emulator?.exitCode !== null || this.#emulator.signalCode !== null
  }

  #startTpm(): ChildProcess {
    const socket = join(this.sockets, "tpm.sock")
    rmSync(socket, { force: true })
    const state = ["--tpm2", "--tpmstate", `dir=${join(this.folder, "tpm")}`, "--terminate"]
    const log = ["--log", `file=${join(this.folder, "tpm.log")},level=1`]
    return under(["swtpm", "socket", ...state, "--ctrl", `type=unixio,path=${socket}`, ...log], this.folder)
  }

  #startEmulator(secureBoot: SecureBoot): ChildProcess {
    for (const name of ["control.sock", "qmp.sock"]) rmSync(join(this.sockets, name), { force: true })
    const at = (name: string): string => join(name.endsWith(".sock") ? this.sockets : this.folder, name)
    const weights = existsSync(at("weights.raw"))
      ? [
          `-drive if=none,id=weights,format=raw,file=${at("weights.raw")},cache=writeback,file.locking=off`,
          "-device virtio-blk-pci,drive=weights,serial=weights",
        ]
      : []
    const delivery = existsSync(at("delivery.raw"))
      ? [
          `-drive if=none,id=delivery,format=raw,readonly=on,file=${at("delivery.raw")}`,
          "-device virtio-blk-pci,drive=delivery,serial=delivery",
        ]
      : []
    const parts = [
      "-machine q35,smm=on,vmport=off -global driver=cfi.pflash01,property=secure,value=on",
      "-accel tcg,thread=multi -cpu max -smp 2 -m 1280",
      "-nodefaults -no-user-config -display none",
      `-drive if=pflash,format=raw,unit=0,readonly=on,file=${firmware}/OVMF_CODE_4M.ms.fd`,
      `-drive if=pflash,format=raw,unit=1,file=${at(`secure-boot-${secureBoot}.fd`)}`,
      `-drive if=none,id=disk,format=qcow2,file=${at("disk.qcow2")},cache=unsafe,discard=unmap`,
      "-device virtio-blk-pci,drive=disk,bootindex=0,serial=disk",
      ...weights,
      ...delivery,
      `-chardev socket,id=tpm,path=${at("tpm.sock")} -tpmdev emulator,id=tpm0,chardev=tpm -device tpm-crb,tpmdev=tpm0`,
      "-netdev user,id=net -device virtio-net-pci,netdev=net,id=net0,romfile=",
      "-device virtio-rng-pci",
      `-device virtio-serial-pci -chardev socket,id=control,path=${at("control.sock")},server=on,wait=off`,
      "-device virtserialport,chardev=control,name=vm.control",
      `-qmp unix:${at("qmp.sock")},server=on,wait=off -serial file:${at("console.log")}`,
    ]
    return under(["qemu-system-x86_64", ...parts.join(" ").split(" ")], this.folder)
  }
}

/** A process that dies with this one; what it says goes into emulator.log. */
function under(line: readonly string[], folder: string): ChildProcess {
  const log = openSync(join(folder, "emulator.log"), "a")
  return spawn("setpriv", ["--pdeathsig", "KILL", ...line], { stdio: ["ignore", log, log], detached: true })
}

/** MiB of each of the two models. */
const weightsSize = 16

/** A disk of its own for the models, so that the test can damage a block of it beneath the kernel. */
function models(path: string): void {
  const folder = mkdtempSync(join(tmpdir(), "assay-vm-models-"))
  try {
    for (const name of ["plain", "protected"]) {
      mkdirSync(join(folder, name))
      writeFileSync(join(folder, name, "weights.bin"), randomBytes(weightsSize * 2 ** 20))
    }
    const options = [
      "-q",
      "-F",
      "-t",
      "ext4",
      "-O",
      "verity",
      "-b",
      "4096",
      "-m",
      "0",
      "-L",
      "models",
      "-U",
      modelsUuid,
    ]
    execFileSync("mke2fs", [...options, "-d", folder, path, "96M"], { env: withSbin, stdio: "pipe" })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The file system of the models: an IMA rule may name it. */
export const modelsUuid = "6d6f6465-6c73-4000-8000-000000000001"

/** Debian keeps mke2fs and debugfs where a user's PATH does not lead. */
export const withSbin = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }

/** A disk that holds what differs from `base`. */
export function overlay(base: string, path: string): void {
  const format = base.endsWith(".raw") ? "raw" : "qcow2"
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-F", format, "-b", base, path])
}

const appears = (path: string, hopeless: () => boolean = () => false): Promise<void> =>
  until(() => existsSync(path) || hopeless(), 30, `${path} does not appear`)
