// Hands one staged photo to darkroom, waits for the receipt and prints it: node enqueue.js USER_ID STAGED_KEY
//
// The whole protocol is one transaction; DARKROOM_REDIS_URL and DARKROOM_NAMESPACE are the worker's.

import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";

const [userId, stagedKey] = process.argv.slice(2);
if (!stagedKey) {
  console.error("usage: node enqueue.js USER_ID STAGED_KEY");
  process.exit(2);
}
const queue = `{${process.env.DARKROOM_NAMESPACE ?? "darkroom"}}:upload`;
const redis = new Redis(process.env.DARKROOM_REDIS_URL ?? "redis://127.0.0.1:6379", { maxRetriesPerRequest: 3 });
redis.on("error", () => {}); // told below, by the call that fails

async function enqueue(payload) {
  const job = randomUUID();
  const answers = await redis
    .multi()
    .hset(`${queue}:data`, job, JSON.stringify(payload))
    .zadd(`${queue}:scheduled`, Math.floor(Date.now() / 1000), job)
    .exec();
  for (const [error] of answers) if (error) throw error;
  return job;
}

async function receiptOf(job, patienceMs) {
  const deadline = Date.now() + patienceMs;
  while (Date.now() < deadline) {
    const result = await redis.hget(`${queue}:meta:${job}`, "result");
    if (result) return JSON.parse(result).Ok;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${job} is not final after ${patienceMs} ms`);
}

try {
  const job = await enqueue({
    v: 1,
    user_id: userId,
    image_id: randomUUID(),
    source: { type: "staged", key: stagedKey },
    context: { from: "node" },
  });
  console.log(JSON.stringify(await receiptOf(job, 30_000)));
} catch (error) {
  console.error(`could not enqueue, or the receipt is late: ${error.message}`);
  process.exitCode = 1;
} finally {
  redis.disconnect();
}
