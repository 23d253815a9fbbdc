import { MemoryStorage } from "../../src/io/memory-storage.js";
import { storageContract } from "./storage-contract.js";

storageContract("memory", async () => {
  let refused = false;
  const storage = new MemoryStorage({ failWrites: () => (refused ? new Error("planted") : undefined) });
  const refuseWrites = (refuse: boolean): void => {
    refused = refuse;
  };
  return { storage, refuseWrites, dispose: () => storage.close() };
});
