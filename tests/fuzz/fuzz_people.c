/* Any bytes as the list of people: refused, or a list within its limits that is written to the very text that
 * reads back to it, and in which everybody and every token is found under their own names. */
#include "base/cleanup.h"
#include "trust/people_file.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_record(const PeopleFile *file, PeopleRecord *record) {
    const Person *person = &record->person;
    assert(certificate_is_host_name(person->name) && bearer_is_id(person->stamp) && person->created_ms > 0);
    assert(people_file_find(file, person->name) == record && record->token_count <= PERSON_TOKENS_MAX);
    assert(person->has_password ? password_is_hash(record->password) : record->password[0] == '\0');
    for (size_t i = 0; i < record->token_count; i++) {
        PeopleRecord *owner = NULL;
        PeopleToken *token = &record->tokens[i];
        assert(people_file_find_token(file, token->token.id, &owner) == token && owner == record);
        assert(bearer_is_label(token->token.label, PERSON_LABEL_SIZE));
        assert(token->token.expires_ms - token->token.created_ms <= PEOPLE_TOKEN_VALID_MAX_MS);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    PEOPLE_FILE_AUTO file = NULL;
    Error error = {0};
    if (people_file_parse((const char *)data, size, &file, &error) < 0) {
        assert(!file && error.kind == ERROR_INVALID);
        return 0;
    }
    assert(file->count <= PEOPLE_MAX && file->fd == -1);
    for (size_t i = 0; i < file->count; i++) check_record(file, &file->records[i]);
    FREE_AUTO char *text = people_file_text(file);
    PEOPLE_FILE_AUTO again = NULL;
    assert(people_file_parse(text, strlen(text), &again, NULL) == 0);
    FREE_AUTO char *text_again = people_file_text(again);
    assert(strcmp(text, text_again) == 0);
    return 0;
}
