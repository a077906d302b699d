export const serviceToken = async () => "of-the-portal";
