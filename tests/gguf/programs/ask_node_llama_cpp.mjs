// Asks GGUF files through node-llama-cpp's chat session: JSON on stdin, JSON on stdout.
// In: [{"gguf": path, "conversations": [[message, ...], ...], "limit": tokens}, ...]. Out: for each file the answers, each with the prompt's
// ids, the text, and why it ended.
import {readFileSync, writeSync} from "node:fs";
import {getLlama, LlamaChatSession, resolveChatWrapper} from "node-llama-cpp";

const KINDS = {
    system: (text) => ({type: "system", text}),
    user: (text) => ({type: "user", text}),
    assistant: (text) => ({type: "model", response: [text]})
};
const llama = await getLlama({build: "never", gpu: false, progressLogs: false, maxThreads: 1, logLevel: "error"});
const reports = [];
for (const request of JSON.parse(readFileSync(0, "utf-8"))) {
    const model = await llama.loadModel({modelPath: request.gguf, gpuLayers: 0});
    const context = await model.createContext({contextSize: request.context ?? 512, threads: 1});
    const chatWrapper = resolveChatWrapper(model); // once: it tries many conversations with the template
    const answers = [];
    for (const messages of request.conversations) {
        const contextSequence = context.getSequence();
        const session = new LlamaChatSession({contextSequence, chatWrapper});
        const before = messages.slice(0, -1).map(({role, content}) => KINDS[role](content));
        session.setChatHistory(before); // also where it is empty: without it a session begins with a system turn of its own
        const question = messages.at(-1).content;
        const options = {maxTokens: request.limit, temperature: 0, repeatPenalty: false};
        const {responseText, stopReason} = await session.promptWithMeta(question, options);
        const chatHistory = [...before, KINDS.user(question), KINDS.assistant("")];
        const prompt = chatWrapper.generateContextState({chatHistory}).contextText.tokenize(model.tokenizer);
        if (prompt.some((token, place) => token !== contextSequence.contextTokens[place])) throw new Error("another prompt was evaluated");
        answers.push({prompt, text: responseText, ended: stopReason});
        session.dispose();
        contextSequence.dispose();
    }
    reports.push(answers);
    await context.dispose();
    await model.dispose();
}
writeSync(1, JSON.stringify(reports));
process.exit(0);
