/** What does logind say on a bus? A peer by hand that owns its name, on a bus of dbus-daemon's own; dbus-send speaks beside it. */
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"

const from = "org.freedesktop.login1.Manager"
const path = "/org/freedesktop/login1"
const policy = (socket: string): string => `<busconfig><type>custom</type><listen>unix:path=${socket}</listen>
<auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>`

/** A bus on which anybody may own any name. `stop` ends it, `address` is its socket. */
export async function startBus(): Promise<{ readonly address: string; stop(): void }> {
  const folder = mkdtempSync(join(tmpdir(), "bus-"))
  const address = join(folder, "bus")
  writeFileSync(join(folder, "bus.conf"), policy(address))
  const args = [`--config-file=${join(folder, "bus.conf")}`, "--nofork", "--nopidfile", "--print-address"]
  const daemon = spawn("dbus-daemon", args, { stdio: ["ignore", "pipe", "ignore"] })
  await new Promise<void>(resolve => daemon.stdout.once("data", () => resolve()))
  const stop = (): void => {
    daemon.kill()
    rmSync(folder, { recursive: true })
  }
  return { address, stop }
}

/** dbus-send, which owns no name that anybody knows. */
export const sendAsAnybody = (address: string, value: boolean): Promise<unknown> =>
  promisify(execFile)("dbus-send", [
    ...[`--bus=unix:path=${address}`, "--type=signal", path, `${from}.PrepareForSleep`, `boolean:${value}`],
  ])

const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(n)
  return bytes
}
const align = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)])
const string = (text: string): Buffer => Buffer.concat([u32(text.length), Buffer.from(`${text}\0`)])
const variant = (code: number, type: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([code, 1, type.charCodeAt(0), 0]),
    type === "g" ? Buffer.from(`${String.fromCharCode(value.length)}${value}\0`) : string(value),
  ])

/** A message in the other byte order than the agent's own. */
function message(type: number, serial: number, fields: Buffer[], body: Buffer): Buffer {
  const header = fields.reduce((all, each) => Buffer.concat([align(all), each]), Buffer.alloc(0))
  const head = Buffer.from([0x42, type, 1, 1])
  return Buffer.concat([head, u32(body.length), u32(serial), u32(header.length), align(header), body])
}

/** Somebody who owns logind's name, and says what it is told to. */
export async function logindOn(address: string): Promise<{ say(asleep: boolean): void; leave(): void }> {
  const socket = createConnection(address)
  const next = (): Promise<Buffer> => new Promise(resolve => socket.once("data", resolve))
  const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString("hex")
  socket.write(`\0AUTH EXTERNAL ${uid}\r\n`)
  await next()
  socket.write("BEGIN\r\n")
  const bus = "org.freedesktop.DBus"
  const toBus = (member: string, signature: string): Buffer[] => [
    ...(signature === "" ? [] : [variant(8, "g", signature)]),
    ...[variant(1, "o", "/org/freedesktop/DBus"), variant(2, "s", bus), variant(6, "s", bus), variant(3, "s", member)],
  ]
  socket.write(message(1, 1, toBus("Hello", ""), Buffer.alloc(0)))
  await next()
  const name = string("org.freedesktop.login1")
  const padding = Buffer.alloc((4 - (name.length % 4)) % 4)
  socket.write(message(1, 2, toBus("RequestName", "su"), Buffer.concat([name, padding, u32(0)])))
  await next()
  socket.on("data", () => {})
  let serial = 2
  const fields = [
    variant(8, "g", "b"),
    variant(1, "o", path),
    variant(2, "s", from),
    variant(3, "s", "PrepareForSleep"),
  ]
  return {
    say: asleep => void socket.write(message(4, ++serial, fields, u32(asleep ? 1 : 0))),
    leave: () => socket.destroy(),
  }
}
