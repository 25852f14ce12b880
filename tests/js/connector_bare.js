// ilp-connector in a process, as it comes but for its rate limit: for benchmarks.
//
//   node connector_bare.js '{"ilpAddress": "...", "accounts": {...}}'     Out: {"ready": true}; ends when stdin does
'use strict'
const { createApp } = require('ilp-connector')

const config = JSON.parse(process.argv[2])
for (const account of Object.values(config.accounts)) {
  account.rateLimit = { refillCount: 10000000, refillPeriod: 1000 } // its default is 10,000 packets a minute
  account.balance = { maximum: 'Infinity' }
}
createApp({ env: 'test', backend: 'one-to-one', spread: 0, store: 'memory', ...config }).listen()
  .then(() => process.stdout.write(JSON.stringify({ ready: true }) + '\n'))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
