/**
 * How does the test speak to a machine whose network may be cut? Over a serial port of the emulator's: one request a line, one
 * answer a line. The other end is guest/usr/local/sbin/vm-control. Which scripts it runs is left to the cases.
 */
import { createConnection, type Socket } from "node:net"

/** What a script in the machine ended with, and what it said. */
export type Ran = { readonly status: number; readonly out: string; readonly err: string }

type Waiting = { readonly done: (ran: Ran) => void; readonly failed: (error: Error) => void }

export class Control {
  readonly #socket: Socket
  readonly #waiting = new Map<string, Waiting>()
  readonly #hellos: ((boot: string) => void)[] = []
  #rest = ""
  #next = 0
  #greeted = 0
  /** the kernel's boot id, as the machine said it last */
  boot = ""

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding("utf8")
    socket.on("data", (text: string) => this.#take(text))
    socket.on("error", () => socket.destroy())
    socket.on("close", () => this.#end(new Error("the machine is gone")))
  }

  /** Connects to the emulator's end of the port. @throws Error when nothing listens there */
  static open(path: string): Promise<Control> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(path)
      socket.once("error", reject)
      socket.once("connect", () => resolve(new Control(socket)))
    })
  }

  /** How many times the machine has come up. */
  get greeted(): number {
    return this.#greeted
  }

  /** Resolves when the machine has come up more than `times` times. */
  async comesUp(times: number): Promise<void> {
    while (this.#greeted <= times) await new Promise<string>(resolve => this.#hellos.push(resolve))
  }

  /** Runs a bash script as root; resolves when it has ended, however it ended. */
  run(script: string): Promise<Ran> {
    const id = String(this.#next++)
    return new Promise((done, failed) => {
      if (this.#socket.destroyed) return failed(new Error("the machine is gone"))
      this.#waiting.set(id, { done, failed })
      this.#socket.write(`${id} ${Buffer.from(script).toString("hex")}\n`)
    })
  }

  /** What was asked and not answered will not be: the machine was cut off. */
  forget(): void {
    this.#fail(new Error("the machine was cut off"))
  }

  close(): void {
    this.#socket.destroy()
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) this.#takeLine(line)
  }

  #takeLine(line: string): void {
    const [id = "", status = "", out = "", err = ""] = line.split(" ")
    if (id === "hello") return this.#greet(status)
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.done({ status: Number(status), out: decode(out), err: decode(err) })
  }

  #greet(boot: string): void {
    if (this.boot !== "" && boot !== this.boot) this.#fail(new Error("the machine came up anew"))
    this.boot = boot
    this.#greeted++
    for (const resolve of this.#hellos.splice(0)) resolve(boot)
  }

  #fail(error: Error): void {
    for (const { failed } of this.#waiting.values()) failed(error)
    this.#waiting.clear()
  }

  #end(error: Error): void {
    this.#fail(error)
  }
}

/** "=" and hexadecimal: a field is never empty. */
const decode = (field: string): string => Buffer.from(field.slice(1), "hex").toString("utf8")
