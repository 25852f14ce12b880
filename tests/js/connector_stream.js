// Both ends of a STREAM payment over ilp-plugin-btp in one process: for benchmarks.
//
//   node connector_stream.js <BTP URL of the sender> <BTP URL of the receiver>
//
// In:  {"amount": "..."}   Out: {"delivered": "...", "seconds": n, "packets": n} or {"failed": "..."}
'use strict'
const readline = require('readline')
const Plugin = require('ilp-plugin-btp')
const stream = require('ilp-protocol-stream')

const tell = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const [from, to] = process.argv.slice(2).map((server) => new Plugin({ server, reconnectInterval: 20 }))

let packets = 0
class Counting { // a STREAM client ends its plugin with itself: this one stays connected
  async connect () {}
  async disconnect () {}
  isConnected () { return from.isConnected() }
  sendData (data) { packets++; return from.sendData(data) }
  registerDataHandler (handler) { from.registerDataHandler(handler) }
  deregisterDataHandler () { from.deregisterDataHandler() }
}
Counting.version = 2

const start = async () => {
  await Promise.all([from.connect(), to.connect()])
  const server = await stream.createServer({ plugin: to })
  server.on('connection', (connection) => connection.on('stream', (flow) => flow.setReceiveMax('1000000000000000000')))
  readline.createInterface({ input: process.stdin }).on('line', async (line) => {
    try {
      const { amount } = JSON.parse(line)
      packets = 0
      const begun = process.hrtime.bigint()
      const connection = await stream.createConnection({ plugin: new Counting(), ...server.generateAddressAndSecret() })
      await connection.createStream().sendTotal(amount, { timeout: 60000 })
      tell({ delivered: connection.totalDelivered, seconds: Number(process.hrtime.bigint() - begun) / 1e9, packets })
      await connection.end()
    } catch (error) {
      tell({ failed: error.message })
    }
  }).on('close', () => process.exit(0))
  tell({ connected: true })
}
start().catch((error) => tell({ failed: error.message }))
